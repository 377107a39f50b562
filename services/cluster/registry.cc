#include "services/cluster/registry.h"

#include <algorithm>
#include <cstdio>
#include <thread>
#include <tuple>

#include "services/cluster/await.h"
#include "services/common/ids.h"

namespace vswap {
namespace {

constexpr auto kCallMax = std::chrono::seconds(30);
constexpr auto kClusterWaitMax = std::chrono::seconds(60);
constexpr auto kClusterPoll = std::chrono::milliseconds(100);
constexpr int kTriesMax = 16;
constexpr int kSharedSetsPerNode = 2;
constexpr char kClusterKey[] = "cluster";

StatusOr<std::vector<KeyValue>> List(Coordinator& coordinator, const std::string& prefix) {
  return AwaitFor<std::vector<KeyValue>>(
      kCallMax, [&](auto done) { coordinator.List(prefix, std::move(done)); });
}

StatusOr<TransactionReply> Commit(Coordinator& coordinator, const Transaction& transaction) {
  return AwaitFor<TransactionReply>(
      kCallMax, [&](auto done) { coordinator.Commit(transaction, std::move(done)); });
}

template <typename Record>
struct Known {
  Record record;
  uint64_t revision = 0;
};

template <typename Record>
StatusOr<std::vector<Known<Record>>> ListRecords(Coordinator& coordinator,
                                                 const std::string& prefix) {
  const StatusOr<std::vector<KeyValue>> found = List(coordinator, prefix);
  if (!found.ok()) {
    return found.status();
  }
  std::vector<Known<Record>> records;
  for (const KeyValue& entry : *found) {
    Known<Record> known;
    known.revision = entry.revision;
    if (!known.record.ParseFromString(entry.value)) {
      return MakeError(StatusCode::kDataLoss,
                       "coordinator: the record " + entry.key + " cannot be read");
    }
    records.push_back(std::move(known));
  }
  return records;
}

// Adds a set of the node alone, unless there is one.
Status AddOwnSet(Coordinator& coordinator, const v1::NodeRecord& node, bool same_number,
                 Transaction* transaction) {
  const auto sets = ListRecords<v1::SetRecord>(coordinator, "sets/");
  if (!sets.ok()) {
    return sets.status();
  }
  v1::SetRecord own;
  own.set_set(1);
  for (const auto& known : *sets) {
    if (known.record.nodes_size() == 1 && known.record.nodes(0) == node.node()) {
      return Status();
    }
    own.set_set(std::max(own.set(), known.record.set() + 1));
  }
  if (same_number) {
    own.set_set(node.node());
  }
  own.set_tier(node.tier());
  own.add_nodes(node.node());
  const std::string key = NumberedKey("sets", own.set());
  transaction->compares.push_back({key, 0});
  transaction->puts.push_back({key, own.SerializeAsString()});
  return Status();
}

bool IsIn(const v1::SetRecord& set, const v1::NodeRecord& node) {
  for (int i = 0; i < set.nodes_size() && i < set.incarnations_size(); ++i) {
    if (set.nodes(i) == node.node() && set.incarnations(i) == node.incarnation()) {
      return true;
    }
  }
  return false;
}

// A set that the node is still to be in; empty: none, or there are no nodes for it.
std::optional<v1::SetRecord> FindMissingSet(const std::vector<v1::NodeRecord>& nodes,
                                            const std::vector<v1::SetRecord>& sets,
                                            const v1::NodeRecord& node, uint32_t copies) {
  const auto sets_with = [&](const v1::NodeRecord& other) {
    return std::ranges::count_if(sets, [&](const auto& set) { return IsIn(set, other); });
  };
  if (sets_with(node) >= kSharedSetsPerNode) {
    return std::nullopt;
  }
  const auto together = [&](const v1::NodeRecord& other) {
    return std::ranges::any_of(
        sets, [&](const auto& set) { return IsIn(set, node) && IsIn(set, other); });
  };
  v1::SetRecord made;
  made.set_set(1);
  for (const v1::SetRecord& set : sets) {
    made.set_set(std::max(made.set(), set.set() + 1));
  }
  made.set_tier(node.tier());
  std::vector<v1::NodeRecord> chosen{node};
  while (chosen.size() < copies) {
    const auto rank = [&](const v1::NodeRecord& other) {
      const bool same_zone = std::ranges::any_of(
          chosen, [&](const auto& member) { return member.zone() == other.zone(); });
      return std::tuple(same_zone, sets_with(other), other.node());
    };
    const v1::NodeRecord* best = nullptr;
    for (const v1::NodeRecord& other : nodes) {
      const bool usable = other.tier() == node.tier() && !other.draining() && !together(other) &&
                          std::ranges::none_of(chosen, [&](const auto& member) {
                            return member.machine() == other.machine();
                          });
      if (usable && (best == nullptr || rank(other) < rank(*best))) {
        best = &other;
      }
    }
    if (best == nullptr) {
      return std::nullopt;
    }
    chosen.push_back(*best);
  }
  for (const v1::NodeRecord& member : chosen) {
    made.add_nodes(member.node());
    made.add_incarnations(member.incarnation());
  }
  return made;
}

}  // namespace

std::string NumberedKey(const char* prefix, uint32_t number) {
  char key[32];
  std::snprintf(key, sizeof(key), "%s/%05u", prefix, number);
  return key;
}

StatusOr<v1::ClusterRecord> FindOrMakeCluster(Coordinator& coordinator,
                                              const v1::ClusterRecord& wanted, Random& random) {
  for (int i = 0; i < kTriesMax; ++i) {
    const auto found = ListRecords<v1::ClusterRecord>(coordinator, kClusterKey);
    if (!found.ok() || !found->empty()) {
      return found.ok() ? StatusOr<v1::ClusterRecord>(found->front().record) : found.status();
    }
    v1::ClusterRecord made = wanted;
    made.set_cluster(random.Next64());
    const auto reply =
        Commit(coordinator, {{{kClusterKey, 0}}, {{kClusterKey, made.SerializeAsString()}}, {}});
    if (!reply.ok()) {
      return reply.status();
    }
  }
  return MakeError(StatusCode::kAborted, "the cluster's record comes and goes");
}

StatusOr<v1::ClusterRecord> FindCluster(Coordinator& coordinator) {
  const TimePoint deadline = std::chrono::steady_clock::now() + kClusterWaitMax;
  while (true) {
    const auto found = ListRecords<v1::ClusterRecord>(coordinator, kClusterKey);
    if (found.ok() && !found->empty()) {
      return found->front().record;
    }
    if (std::chrono::steady_clock::now() > deadline) {
      return found.ok() ? MakeError(StatusCode::kUnavailable,
                                    "there is no cluster yet: start a front-end first")
                        : found.status();
    }
    std::this_thread::sleep_for(kClusterPoll);
  }
}

StatusOr<std::vector<v1::NodeRecord>> ListNodes(Coordinator& coordinator) {
  const auto found = ListRecords<v1::NodeRecord>(coordinator, "nodes/");
  if (!found.ok()) {
    return found.status();
  }
  std::vector<v1::NodeRecord> nodes;
  for (const auto& known : *found) {
    nodes.push_back(known.record);
  }
  return nodes;
}

StatusOr<std::optional<v1::NodeRecord>> FindNode(Coordinator& coordinator,
                                                 const std::string& name) {
  const auto nodes = ListNodes(coordinator);
  if (!nodes.ok()) {
    return nodes.status();
  }
  const auto it = std::ranges::find(*nodes, name, &v1::NodeRecord::name);
  return it == nodes->end() ? std::nullopt : std::optional(*it);
}

StatusOr<v1::NodeRecord> RegisterNode(Coordinator& coordinator, v1::NodeRecord wanted) {
  const uint32_t asked = wanted.node();
  for (int i = 0; i < kTriesMax; ++i) {
    const auto nodes = ListRecords<v1::NodeRecord>(coordinator, "nodes/");
    if (!nodes.ok()) {
      return nodes.status();
    }
    uint64_t revision = 0;
    uint32_t next = 1;
    wanted.set_node(asked);
    for (const auto& known : *nodes) {
      next = std::max(next, known.record.node() + 1);
      if (known.record.name() != wanted.name()) {
        continue;
      }
      if (known.record.tier() != wanted.tier()) {
        return MakeError(StatusCode::kFailedPrecondition,
                         "id: " + wanted.name() + " is the name of a node of the other tier");
      }
      wanted.set_node(known.record.node());
      wanted.set_draining(known.record.draining());
      revision = known.revision;
    }
    if (wanted.node() == 0) {
      wanted.set_node(next);
    }
    const std::string key = NumberedKey("nodes", wanted.node());
    Transaction transaction{{{key, revision}}, {{key, wanted.SerializeAsString()}}, {}};
    VSWAP_RETURN_IF_ERROR(AddOwnSet(coordinator, wanted, asked != 0, &transaction));
    const auto reply = Commit(coordinator, transaction);
    if (!reply.ok()) {
      return reply.status();
    }
    if (reply->succeeded) {
      return wanted;
    }
  }
  return MakeError(StatusCode::kAborted, "others change the records of nodes all the time");
}

Status JoinSets(Coordinator& coordinator, const v1::NodeRecord& node, uint32_t copies) {
  for (int i = 0; copies > 1 && i < kTriesMax; ++i) {
    const auto nodes = ListNodes(coordinator);
    VSWAP_RETURN_IF_ERROR(nodes.status());
    const auto known = ListRecords<v1::SetRecord>(coordinator, "sets/");
    VSWAP_RETURN_IF_ERROR(known.status());
    std::vector<v1::SetRecord> sets;
    for (const auto& set : *known) {
      sets.push_back(set.record);
    }
    const std::optional<v1::SetRecord> wanted = FindMissingSet(*nodes, sets, node, copies);
    if (!wanted) {
      return Status();
    }
    if (wanted->set() > kSetIdMax) {
      return MakeError(StatusCode::kResourceExhausted,
                       "all " + std::to_string(kSetIdMax) + " sets were used up");
    }
    const std::string key = NumberedKey("sets", wanted->set());
    VSWAP_RETURN_IF_ERROR(
        Commit(coordinator, {{{key, 0}}, {{key, wanted->SerializeAsString()}}, {}}).status());
  }
  return Status();
}

}  // namespace vswap
