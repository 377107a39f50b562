#pragma once

#include "services/frontend/shard_taking.h"

namespace vswap {

// Makes the log of a shard that was given up anew, and its record name the replicas: an empty table
// whose spaces have the tokens of today. Whatever the chosen stores held of the shard goes.
//
// `owned` is the caller's, and names no replicas; what is handed over can be taken. UNAVAILABLE:
// there is no store that takes it. ABORTED: somebody else has changed the record.
void BeginLog(const TakingContext& context, ShardId id, OwnedShard owned,
              Callback<OwnedShard> done);

}  // namespace vswap
