#pragma once

#include <grpcpp/grpcpp.h>

#include "services/frontend/front_end.h"
#include "vswap/v1/admin.grpc.pb.h"

namespace vswap {

// vswap.v1.AdminService: synchronous calls, for people. Thread-safe.
class AdminService : public v1::AdminService::Service {
 public:
  explicit AdminService(FrontEnd& front_end) : front_end_(front_end) {}
  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest* request,
                         v1::GetStatusResponse* response) override;
  grpc::Status Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                     v1::DrainResponse* response) override;
  grpc::Status Check(grpc::ServerContext* context, const v1::CheckRequest* request,
                     v1::CheckResponse* response) override;

 private:
  FrontEnd& front_end_;
};

}  // namespace vswap
