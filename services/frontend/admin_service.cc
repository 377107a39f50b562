#include "services/frontend/admin_service.h"

#include "services/frontend/status_report.h"

namespace vswap {

grpc::Status AdminService::GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                                     v1::GetStatusResponse* response) {
  *response = MakeStatusReport(front_end_);
  return grpc::Status::OK;
}

}  // namespace vswap
