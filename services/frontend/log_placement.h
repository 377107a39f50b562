#pragma once

#include <optional>
#include <vector>

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

}  // namespace vswap
