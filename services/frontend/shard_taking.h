#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "services/cluster/coordinator.h"
#include "services/frontend/log_nodes.h"
#include "services/frontend/shard.h"
#include "vswap/v1/cluster.pb.h"

namespace vswap {

// "shards/NNNNN"
std::string ShardKey(ShardId shard);

// A shard and its record, as this owner has last written it.
struct OwnedShard {
  std::shared_ptr<Shard> shard;
  v1::ShardRecord record;
  uint64_t revision = 0;
};

struct TakingContext {
  Coordinator& coordinator;
  LogNodes& logs;
  Executor& executor;
  uint32_t log_replicas = 1;
  // Told when a log refuses the epoch.
  std::function<void(const std::shared_ptr<Shard>&, const Status&)> on_fenced;
  // How long a replica that does not answer the seal is waited for, once another has.
  Duration seal_wait = std::chrono::seconds(1);
  // The spaces' tokens, as the coordinator knows them.
  std::function<void(Callback<std::vector<TokenRecord>>)> tokens = nullptr;
};

// Makes the caller a shard's owner, whose record already says so with a raised epoch: seals full
// replicas, reads them (see RestoreShard; where the one that is ahead cannot be read, one that has
// as much, or, where it is damaged, all but its last write), and removes from the record those that
// could not be sealed, read or brought level and those that were being filled. The shard that is
// handed over has not begun to serve: call Shard::Start. Where the log was given up it begins anew
// (BeginLog).
//
// `done` once. UNAVAILABLE: no full replica within reach. FAILED_PRECONDITION: no full replica
// is left, an operator has to decide. ABORTED: somebody else has changed the record. DATA_LOSS: no
// replica can be read, and the one that was tried first is damaged.
void TakeShard(const TakingContext& context, ShardId id, OwnedShard owned,
               Callback<OwnedShard> done);

// Names the replicas of a new shard's log.
void PlaceNewLog(const std::vector<LogNodes::Store>& stores, uint32_t replicas, ShardId id,
                 v1::ShardRecord& record);

}  // namespace vswap
