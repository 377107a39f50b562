#pragma once

#include <grpcpp/grpcpp.h>

#include "services/frontend/front_end.h"
#include "vswap/v1/peer.grpc.pb.h"

namespace vswap {

// vswap.v1.PeerService of a front-end, which outlives it. Thread-safe.
class PeerService : public v1::PeerService::CallbackService {
 public:
  explicit PeerService(FrontEnd& front_end) : front_end_(front_end) {}

  grpc::ServerUnaryReactor* RaiseToken(grpc::CallbackServerContext* context,
                                       const v1::RaiseTokenRequest* request,
                                       v1::RaiseTokenResponse* response) override;
  grpc::ServerUnaryReactor* GetNodeUse(grpc::CallbackServerContext* context,
                                       const v1::GetNodeUseRequest* request,
                                       v1::GetNodeUseResponse* response) override;

 private:
  FrontEnd& front_end_;
};

}  // namespace vswap
