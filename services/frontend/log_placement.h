#pragma once

#include <optional>
#include <vector>

#include "services/cluster/coordinator.h"
#include "services/frontend/log_nodes.h"
#include "vswap/v1/cluster.pb.h"

namespace vswap {

// The store for one more replica of a shard's log: not on the machine of one that is there, if
// possible in another zone, none that drains or is silent, and of those a different one for
// neighbouring shards. Empty if there is none.
std::optional<LogNodes::Store> ChooseLogStore(const std::vector<LogNodes::Store>& stores,
                                              const v1::ShardRecord& record, ShardId shard);

// Null: nobody registered under the number, or its data is not this replica's any more.
const LogNodes::Store* FindLogStore(const std::vector<LogNodes::Store>& stores,
                                    const v1::LogReplica& replica);

// Whether each store of a full replica is registered with another log: it will never be seen again.
bool AllLogsGone(const std::vector<LogNodes::Store>& stores, const v1::ShardRecord& record);

// What has to be unchanged of the stores that the record names, of all `nodes` that the coordinator
// has, for the shard's log to begin anew. FAILED_PRECONDITION: one of them is registered with a
// full replica; never with `silent_too`.
StatusOr<std::vector<Transaction::Compare>> CompareLogs(ShardId id, const v1::ShardRecord& record,
                                                        const std::vector<KeyValue>& nodes,
                                                        bool silent_too);

}  // namespace vswap
