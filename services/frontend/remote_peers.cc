#include "services/frontend/remote_peers.h"

#include <chrono>
#include <utility>

#include "proto/grpc_glue.h"

namespace vswap {
namespace {

// One that does not answer holds up an open: it is asked again.
constexpr auto kCallMax = std::chrono::seconds(2);
// Addresses that are remembered.
constexpr size_t kStubsMax = 256;

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
  struct Call {
    std::shared_ptr<Stub> stub;
    grpc::ClientContext context;
    v1::RaiseTokenRequest request;
    v1::RaiseTokenResponse response;
  };
  const auto call = std::make_shared<Call>();
  call->stub = At(front_end.address());
  call->context.set_deadline(std::chrono::system_clock::now() + kCallMax);
  *call->request.mutable_space() = space;
  call->stub->async()->RaiseToken(
      &call->context, &call->request, &call->response,
      [call, done = std::move(done)](const grpc::Status& status) {
        if (!status.ok()) {
          return done(FromGrpc(status));
        }
        std::vector<ShardEpoch> raised;
        for (int i = 0; i < call->response.shards_size() && i < call->response.epochs_size(); ++i) {
          raised.push_back({call->response.shards(i), call->response.epochs(i)});
        }
        done(std::move(raised));
      });
}

void RemotePeers::GetNodeUse(const v1::FrontEndRecord& front_end, NodeId node,
                             const std::vector<SetId>& sets, Callback<NodeUse> done) {
  struct Call {
    std::shared_ptr<Stub> stub;
    grpc::ClientContext context;
    v1::GetNodeUseRequest request;
    v1::GetNodeUseResponse response;
  };
  const auto call = std::make_shared<Call>();
  call->stub = At(front_end.address());
  call->context.set_deadline(std::chrono::system_clock::now() + kCallMax);
  call->request.set_node(node);
  call->request.mutable_sets()->Add(sets.begin(), sets.end());
  call->stub->async()->GetNodeUse(
      &call->context, &call->request, &call->response,
      [call, done = std::move(done)](const grpc::Status& status) {
        if (!status.ok()) {
          return done(FromGrpc(status));
        }
        const v1::GetNodeUseResponse& use = call->response;
        done(NodeUse{{use.shards().begin(), use.shards().end()}, use.pages(), use.answers()});
      });
}

}  // namespace vswap
