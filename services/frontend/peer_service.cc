#include "services/frontend/peer_service.h"

#include "proto/grpc_glue.h"

namespace vswap {

grpc::ServerUnaryReactor* PeerService::RaiseToken(grpc::CallbackServerContext* context,
                                                  const v1::RaiseTokenRequest* request,
                                                  v1::RaiseTokenResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  front_end_.RaiseToken(request->space(),
                        [reactor, response](const StatusOr<std::vector<ShardEpoch>>& raised) {
                          if (!raised.ok()) {
                            return reactor->Finish(ToGrpc(raised.status()));
                          }
                          for (const ShardEpoch& one : *raised) {
                            response->add_shards(one.shard);
                            response->add_epochs(one.epoch);
                          }
                          reactor->Finish(grpc::Status::OK);
                        });
  return reactor;
}

}  // namespace vswap
