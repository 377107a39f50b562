#include "services/frontend/log_placement.h"

#include <algorithm>
#include <tuple>

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

}  // namespace vswap
