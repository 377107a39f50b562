#pragma once

#include <vector>

#include "services/cluster/node.h"
#include "vswap/v1/cluster.pb.h"

namespace vswap {

struct ShardEpoch {
  ShardId shard = 0;
  Epoch epoch = 0;
};

// What a front-end knows of a node, and of the pages of the sets that were asked for.
struct NodeUse {
  std::vector<ShardId> shards;  // served there
  uint64_t pages = 0;           // that their tables name on the sets
  bool answers = true;          // the node, as it was last asked
};

// The other front-ends. Thread-safe; callbacks run once, on any thread.
class Peers {
 public:
  virtual ~Peers() = default;
  // See vswap.v1.PeerService. Answers the shards in which the token was raised.
  virtual void RaiseToken(const v1::FrontEndRecord& front_end, const v1::SpaceRecord& space,
                          Callback<std::vector<ShardEpoch>> done) = 0;
  virtual void GetNodeUse(const v1::FrontEndRecord& front_end, NodeId node,
                          const std::vector<SetId>& sets, Callback<NodeUse> done) = 0;
};

}  // namespace vswap
