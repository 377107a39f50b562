#include "services/frontend/remote_peers.h"

#include <chrono>
#include <utility>

#include "services/cluster/unary_call.h"

namespace vswap {
namespace {

// One that does not answer holds up an open: it is asked again.
constexpr auto kCallMax = std::chrono::seconds(2);
// Addresses that are remembered.
constexpr size_t kStubsMax = 256;

using PeerAsync = v1::PeerService::StubInterface::async_interface;

}  // namespace

std::shared_ptr<RemotePeers::Stub> RemotePeers::At(const std::string& address) {
  MutexLock lock(mutex_);
  if (stubs_.size() > kStubsMax) {
    stubs_.clear();
  }
  std::shared_ptr<Stub>& stub = stubs_[address];
  if (stub == nullptr) {
    stub =
        v1::PeerService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  }
  return stub;
}

void RemotePeers::RaiseToken(const v1::FrontEndRecord& front_end, const v1::SpaceRecord& space,
                             Callback<std::vector<ShardEpoch>> done) {
  v1::RaiseTokenRequest request;
  *request.mutable_space() = space;
  const std::shared_ptr<Stub> stub = At(front_end.address());
  SendUnary<PeerAsync, v1::RaiseTokenRequest, v1::RaiseTokenResponse>(
      stub->async(), &PeerAsync::RaiseToken, std::move(request), kCallMax,
      [stub, done = std::move(done)](const Status& status, const v1::RaiseTokenResponse& response) {
        if (!status.ok()) {
          return done(status);
        }
        std::vector<ShardEpoch> raised;
        for (int i = 0; i < response.shards_size() && i < response.epochs_size(); ++i) {
          raised.push_back({response.shards(i), response.epochs(i)});
        }
        done(std::move(raised));
      });
}

void RemotePeers::GetNodeUse(const v1::FrontEndRecord& front_end, NodeId node,
                             const std::vector<SetId>& sets, Callback<NodeUse> done) {
  v1::GetNodeUseRequest request;
  request.set_node(node);
  request.mutable_sets()->Add(sets.begin(), sets.end());
  const std::shared_ptr<Stub> stub = At(front_end.address());
  SendUnary<PeerAsync, v1::GetNodeUseRequest, v1::GetNodeUseResponse>(
      stub->async(), &PeerAsync::GetNodeUse, std::move(request), kCallMax,
      [stub, done = std::move(done)](const Status& status, const v1::GetNodeUseResponse& use) {
        if (!status.ok()) {
          return done(status);
        }
        done(NodeUse{{use.shards().begin(), use.shards().end()}, use.pages(), use.answers()});
      });
}

}  // namespace vswap
