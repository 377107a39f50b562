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

grpc::ServerUnaryReactor* PeerService::GetNodeUse(grpc::CallbackServerContext* context,
                                                  const v1::GetNodeUseRequest* request,
                                                  v1::GetNodeUseResponse* response) {
  const NodeUse use =
      front_end_.UseOf(request->node(), {request->sets().begin(), request->sets().end()});
  response->mutable_shards()->Add(use.shards.begin(), use.shards.end());
  response->set_pages(use.pages);
  response->set_answers(use.answers);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace vswap
