#pragma once

#include <grpcpp/grpcpp.h>

#include "services/frontend/front_end.h"
#include "vswap/v1/admin.grpc.pb.h"

namespace vswap {

// vswap.v1.AdminService: synchronous calls, for people. Thread-safe.
class AdminService : public v1::AdminService::Service {
 public:
  AdminService(FrontEnd& front_end, Coordinator& coordinator)
      : front_end_(front_end), coordinator_(coordinator) {}
  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest* request,
                         v1::GetStatusResponse* response) override;
  grpc::Status GetCluster(grpc::ServerContext* context, const v1::GetClusterRequest* request,
                          v1::GetClusterResponse* response) override;
  grpc::Status Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                     v1::DrainResponse* response) override;
  grpc::Status Forget(grpc::ServerContext* context, const v1::ForgetRequest* request,
                      v1::ForgetResponse* response) override;
  grpc::Status GiveUp(grpc::ServerContext* context, const v1::GiveUpRequest* request,
                      v1::GiveUpResponse* response) override;
  grpc::Status Check(grpc::ServerContext* context, const v1::CheckRequest* request,
                     v1::CheckResponse* response) override;

 private:
  FrontEnd& front_end_;
  Coordinator& coordinator_;
};

}  // namespace vswap
