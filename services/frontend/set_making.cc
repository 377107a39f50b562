#include "services/frontend/set_making.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "services/cluster/registry.h"
#include "services/cluster/set_rules.h"

namespace vswap {
namespace {

template <typename Record>
StatusOr<std::vector<Record>> Parse(const StatusOr<std::vector<KeyValue>>& found) {
  if (!found.ok()) {
    return found.status();
  }
  std::vector<Record> records(found->size());
  for (size_t i = 0; i < records.size(); ++i) {
    if (!records[i].ParseFromString((*found)[i].value)) {
      return DamagedRecord((*found)[i].key);
    }
  }
  return records;
}

std::optional<v1::SetRecord> FindMissing(const Placement& placement,
                                         const std::vector<v1::NodeRecord>& nodes,
                                         const std::vector<v1::SetRecord>& sets) {
  for (const v1::NodeRecord& node : nodes) {
    const uint32_t copies = placement.wanted(static_cast<Tier>(node.tier()));
    if (auto missing = FindMissingSet(nodes, sets, node, copies, kSetsOfOldNode)) {
      return missing;
    }
  }
  return std::nullopt;
}

void Make(Coordinator& coordinator, const v1::SetRecord& set,
          const std::map<uint32_t, uint64_t>& revisions, const Callback<bool>& done) {
  const StatusOr<Transaction> transaction = MakeSet(set, revisions);
  if (!transaction.ok()) {
    return done(transaction.status());
  }
  coordinator.Commit(*transaction, [done](const StatusOr<TransactionReply>& reply) {
    done(reply.ok() ? StatusOr<bool>(true) : reply.status());
  });
}

}  // namespace

void MakeMissingSet(Coordinator& coordinator, const Placement& placement,
                    std::vector<PresentNode> present, Callback<bool> done) {
  coordinator.List("nodes/", [&coordinator, &placement, present = std::move(present),
                              done = std::move(done)](const auto& found_nodes) {
    const auto known = Parse<v1::NodeRecord>(found_nodes);
    if (!known.ok()) {
      return done(known.status());
    }
    std::vector<v1::NodeRecord> nodes;
    std::map<uint32_t, uint64_t> revisions;
    for (size_t i = 0; i < known->size(); ++i) {
      const v1::NodeRecord& node = (*known)[i];
      revisions[node.node()] = (*found_nodes)[i].revision;
      if (std::ranges::find(present, PresentNode{node.node(), node.incarnation()}) !=
          present.end()) {
        nodes.push_back(node);
      }
    }
    coordinator.List("sets/",
                     [&coordinator, &placement, nodes, revisions, done](const auto& found_sets) {
                       const auto sets = Parse<v1::SetRecord>(found_sets);
                       if (!sets.ok()) {
                         return done(sets.status());
                       }
                       const auto missing = FindMissing(placement, nodes, *sets);
                       missing ? Make(coordinator, *missing, revisions, done) : done(false);
                     });
  });
}

}  // namespace vswap
