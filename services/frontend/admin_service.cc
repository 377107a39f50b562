#include "services/frontend/admin_service.h"

#include <algorithm>

#include "proto/grpc_glue.h"
#include "services/cluster/await.h"
#include "services/frontend/cluster_report.h"
#include "services/frontend/status_report.h"

namespace vswap {
namespace {

constexpr auto kCheckMax = std::chrono::minutes(30);
constexpr auto kGiveUpMax = std::chrono::seconds(30);

}  // namespace

grpc::Status AdminService::GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                                     v1::GetStatusResponse* response) {
  *response = MakeStatusReport(front_end_);
  return grpc::Status::OK;
}

grpc::Status AdminService::Check(grpc::ServerContext*, const v1::CheckRequest*,
                                 v1::CheckResponse* response) {
  const StatusOr<CheckReport> report = AwaitFor<CheckReport>(
      kCheckMax, [this](Callback<CheckReport> done) { front_end_.Check(std::move(done)); });
  if (!report.ok()) {
    return ToGrpc(report.status());
  }
  response->set_slots(report->slots);
  response->set_log_slots(report->log_slots);
  response->set_records(report->records);
  response->set_problems_total(report->problems_total);
  response->mutable_problems()->Assign(report->problems.begin(), report->problems.end());
  response->mutable_skipped()->Assign(report->skipped.begin(), report->skipped.end());
  return grpc::Status::OK;
}

grpc::Status AdminService::GetCluster(grpc::ServerContext*, const v1::GetClusterRequest*,
                                      v1::GetClusterResponse* response) {
  StatusOr<v1::GetClusterResponse> report = ReportCluster(front_end_.placement(), coordinator_);
  if (!report.ok()) {
    return ToGrpc(report.status());
  }
  *response = *std::move(report);
  return grpc::Status::OK;
}

grpc::Status AdminService::Drain(grpc::ServerContext*, const v1::DrainRequest* request,
                                 v1::DrainResponse*) {
  return ToGrpc(ChangeDrain(front_end_.placement(), coordinator_, *request));
}

grpc::Status AdminService::Forget(grpc::ServerContext*, const v1::ForgetRequest* request,
                                  v1::ForgetResponse*) {
  return ToGrpc(ForgetNode(front_end_, coordinator_, request->node()));
}

grpc::Status AdminService::GiveUp(grpc::ServerContext*, const v1::GiveUpRequest* request,
                                  v1::GiveUpResponse* response) {
  const auto shards = front_end_.shards();
  if (std::ranges::any_of(shards, [&](const auto& s) { return s->id() == request->shard(); })) {
    response->set_was_served(true);
    return grpc::Status::OK;
  }
  return ToGrpc(AwaitStatus(kGiveUpMax, [&](std::function<void(Status)> done) {
    front_end_.GiveUpPages(request->shard(), request->silent_too(), std::move(done));
  }));
}

}  // namespace vswap
