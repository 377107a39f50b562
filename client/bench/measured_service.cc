#include "client/bench/measured_service.h"

#include <grpcpp/grpcpp.h>

#include "proto/grpc_glue.h"
#include "services/common/page.h"

namespace vswap::bench {
namespace {

constexpr auto kStatusMax = std::chrono::seconds(30);
constexpr uint64_t kSpareBytes = uint64_t{64} << 20;

}  // namespace

StatusOr<std::unique_ptr<MeasuredService>> MeasuredService::Start(const Options& options) {
  std::unique_ptr<MeasuredService> service(new MeasuredService(options.frontend));
  if (options.frontend.empty()) {
    VSWAP_RETURN_IF_ERROR(service->StartOwn(options));
  }
  service->admin_ = v1::AdminService::NewStub(
      grpc::CreateChannel(service->frontend_, grpc::InsecureChannelCredentials()));
  const StatusOr<v1::GetStatusResponse> status = service->GetStatus();
  if (!status.ok()) {
    return MakeError(status.status().code(), "frontend " + service->frontend_ + ": " +
                                                 std::string(MessageOf(status.status())));
  }
  return service;
}

Status MeasuredService::StartOwn(const Options& options) {
  StatusOr<std::unique_ptr<TempDirectory>> directory = TempDirectory::Make();
  if (!directory.ok()) {
    return directory.status();
  }
  directory_ = *std::move(directory);
  const std::string program = options.vswapd.empty() ? OwnDirectory() + "/vswapd" : options.vswapd;
  StatusOr<std::unique_ptr<Child>> child = Child::Start(
      {program, "standalone", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
       "--data-dir", directory_->path() + "/data", "--arena", directory_->memory_file(),
       "--memory-max", std::to_string(options.pages_max * kPageBytes + kSpareBytes),
       "--capacity-pages", std::to_string(options.pages_max), "--allow-swappable", "--log-level",
       "warn"},
      options.cpus);
  if (!child.ok()) {
    return child.status();
  }
  child_ = *std::move(child);
  frontend_ = child_->Field("listen");
  return Status();
}

MeasuredService::~MeasuredService() {
  // Nothing in it is worth a clean stop, which would move its pages to the disk first.
  child_.reset();
}

StatusOr<v1::GetStatusResponse> MeasuredService::GetStatus() const {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kStatusMax);
  v1::GetStatusResponse response;
  const Status status = FromGrpc(admin_->GetStatus(&context, {}, &response));
  return status.ok() ? StatusOr<v1::GetStatusResponse>(std::move(response)) : status;
}

StatusOr<Duration> MeasuredService::Cpu() const {
  const StatusOr<v1::GetStatusResponse> status = GetStatus();
  if (!status.ok()) {
    return status.status();
  }
  if (!status->has_process()) {
    return MakeError(StatusCode::kFailedPrecondition,
                     "frontend " + frontend_ + " is too old: its status lacks the process");
  }
  return std::chrono::microseconds(status->process().cpu_microseconds());
}

}  // namespace vswap::bench
