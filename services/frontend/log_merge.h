#pragma once

#include <memory>
#include <vector>

#include "services/common/executor.h"
#include "services/frontend/shard.h"

namespace vswap {

// A replica that refuses older epochs, and where it ends.
struct SealedLog {
  NodeId node = 0;
  TableLog* log = nullptr;
  LogEnd end;
};

// Fills a new owner's shard from the sealed full replicas of its log, at least one, the one with
// the highest last sequence first, and brings them level.
//
// An owner sends one write at a time to all of them, so full replicas differ by that last write at
// most: those that have it are read, which decides it, and those that have not are told the
// difference as the write of the same sequence. A write that no sealed replica has was never
// acknowledged.
//
// `done` once: the nodes whose replicas could not be brought level and are not to be used; or an
// error: the first replica cannot be read, and nothing was restored that may be served.
void RestoreShard(std::shared_ptr<Shard> shard, std::vector<SealedLog> sealed, Executor& executor,
                  Callback<std::vector<NodeId>> done);

}  // namespace vswap
