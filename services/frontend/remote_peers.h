#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>

#include "services/common/mutex.h"
#include "services/frontend/peers.h"
#include "vswap/v1/peer.grpc.pb.h"

namespace vswap {

// The other front-ends over gRPC, at the addresses in their records. Thread-safe; callbacks run on
// gRPC's threads.
class RemotePeers : public Peers {
 public:
  void RaiseToken(const v1::FrontEndRecord& front_end, const v1::SpaceRecord& space,
                  Callback<std::vector<ShardEpoch>> done) override;
  void GetNodeUse(const v1::FrontEndRecord& front_end, NodeId node, const std::vector<SetId>& sets,
                  Callback<NodeUse> done) override;

 private:
  using Stub = v1::PeerService::Stub;
  std::shared_ptr<Stub> At(const std::string& address);

  Mutex mutex_;
  std::map<std::string, std::shared_ptr<Stub>> stubs_ GUARDED_BY(mutex_);  // by address
};

}  // namespace vswap
