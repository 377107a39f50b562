#include "services/frontend/log_placement.h"

#include <algorithm>
#include <string>
#include <tuple>

#include "services/cluster/registry.h"
#include "services/cluster/set_rules.h"

namespace vswap {

std::optional<LogNodes::Store> ChooseLogStore(const std::vector<LogNodes::Store>& stores,
                                              const v1::ShardRecord& record, ShardId shard) {
  const auto shares = [&](auto field, const std::string& value) {
    return std::ranges::any_of(record.replicas(), [&](const v1::LogReplica& replica) {
      const auto it = std::ranges::find(stores, replica.node(), &LogNodes::Store::node);
      return it != stores.end() && !value.empty() && (*it).*field == value;
    });
  };
  const LogNodes::Store* best = nullptr;
  std::tuple<bool, size_t> best_rank;
  for (size_t i = 0; i < stores.size(); ++i) {
    const LogNodes::Store& store = stores[i];
    const bool present = std::ranges::any_of(
        record.replicas(), [&](const auto& replica) { return replica.node() == store.node; });
    if (present || store.draining || !store.answers ||
        shares(&LogNodes::Store::machine, store.machine)) {
      continue;
    }
    const std::tuple rank(shares(&LogNodes::Store::zone, store.zone),
                          (i + stores.size() - shard % stores.size()) % stores.size());
    if (best == nullptr || rank < best_rank) {
      best = &store;
      best_rank = rank;
    }
  }
  return best == nullptr ? std::nullopt : std::optional(*best);
}

const LogNodes::Store* FindLogStore(const std::vector<LogNodes::Store>& stores,
                                    const v1::LogReplica& replica) {
  const auto it = std::ranges::find(stores, replica.node(), &LogNodes::Store::node);
  const bool usable = it != stores.end() && (replica.incarnation() == 0 || it->incarnation == 0 ||
                                             it->incarnation == replica.incarnation());
  return usable ? &*it : nullptr;
}

bool AllLogsGone(const std::vector<LogNodes::Store>& stores, const v1::ShardRecord& record) {
  bool any = false;
  for (const v1::LogReplica& replica : record.replicas()) {
    const bool known =
        std::ranges::find(stores, replica.node(), &LogNodes::Store::node) != stores.end();
    if (replica.full() && (!known || FindLogStore(stores, replica) != nullptr)) {
      return false;
    }
    any |= replica.full();
  }
  return any;
}

StatusOr<std::vector<Transaction::Compare>> CompareLogs(ShardId id, const v1::ShardRecord& record,
                                                        const std::vector<KeyValue>& nodes,
                                                        bool silent_too) {
  std::vector<Transaction::Compare> unchanged;
  for (const v1::LogReplica& replica : record.replicas()) {
    const std::string key = NumberedKey("nodes", replica.node());
    const auto it = std::ranges::find(nodes, key, &KeyValue::key);
    unchanged.push_back({key, it == nodes.end() ? 0 : it->revision});
    v1::NodeRecord node;
    if (silent_too || !replica.full() || it == nodes.end()) {
      continue;
    }
    if (!node.ParseFromString(it->value)) {
      return DamagedRecord(key);
    }
    if (LogIncarnation(node) == replica.incarnation()) {
      return MakeError(StatusCode::kFailedPrecondition,
                       "shard " + std::to_string(id) + " waits for " + node.name() +
                           ", which has its log and may come back");
    }
  }
  return unchanged;
}

}  // namespace vswap
