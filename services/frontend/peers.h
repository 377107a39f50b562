#pragma once

#include <vector>

#include "services/cluster/node.h"
#include "vswap/v1/cluster.pb.h"

namespace vswap {

struct ShardEpoch {
  ShardId shard = 0;
  Epoch epoch = 0;
};

// The other front-ends. Thread-safe; callbacks run once, on any thread.
class Peers {
 public:
  virtual ~Peers() = default;
  // See vswap.v1.PeerService. Answers the shards in which the token was raised.
  virtual void RaiseToken(const v1::FrontEndRecord& front_end, const v1::SpaceRecord& space,
                          Callback<std::vector<ShardEpoch>> done) = 0;
};

}  // namespace vswap
