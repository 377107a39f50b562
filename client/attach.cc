#include "client/attach.h"

#include <algorithm>
#include <functional>
#include <thread>

#include "proto/grpc_glue.h"
#include "services/common/silence.h"
#include "services/common/thread_pool.h"
#include "vswap/v1/frontend.grpc.pb.h"

namespace vswap::client {
namespace {

constexpr int kMessageBytesLimit = 4 * 1024 * 1024;
constexpr size_t kQuotaBytes = 256 * 1024 * 1024;
constexpr std::chrono::milliseconds kPauseMin(20);
constexpr std::chrono::milliseconds kPauseMax(500);
// Where there are others to ask. More than an open takes while a shard changes hands.
constexpr std::chrono::seconds kAttemptMax(5);

using Stub = v1::FrontEndService::Stub;

// Calls one front-end after the other until one answers, for as long as the patience lasts. The
// attempt's number is from 1.
Status CallPatiently(
    const ClientOptions& options,
    const std::function<grpc::Status(Stub&, grpc::ClientContext&, int attempt)>& call) {
  const std::vector<std::string> front_ends = FrontEndsOf(options);
  const auto deadline = std::chrono::system_clock::now() +
                        std::chrono::duration_cast<std::chrono::milliseconds>(options.patience);
  auto pause = kPauseMin;
  for (int attempt = 1;; ++attempt) {
    const std::string& front_end = front_ends[static_cast<size_t>(attempt - 1) % front_ends.size()];
    const auto stub = v1::FrontEndService::NewStub(MakeChannel(front_end));
    grpc::ClientContext context;
    const bool alone = front_ends.size() == 1;
    context.set_deadline(
        alone ? deadline : std::min(deadline, std::chrono::system_clock::now() + kAttemptMax));
    const Status status = FromGrpc(call(*stub, context, attempt));
    if (!IsSilence(status)) {
      return status;
    }
    if (std::chrono::system_clock::now() + pause >= deadline) {
      return MakeError(
          status.code(), ReasonOf(status),
          "frontend " + options.frontend + " did not serve within " +
              std::to_string(
                  std::chrono::duration_cast<std::chrono::milliseconds>(options.patience).count()) +
              " ms: " + std::string(MessageOf(status)));
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kPauseMax);
  }
}

}  // namespace

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& frontend) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // In gRPC this one is the time a connection may take to come about.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2000);
  // The session sends again what must be; gRPC's own retries would keep copies of messages.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxReceiveMessageSize(kMessageBytesLimit);
  arguments.SetMaxSendMessageSize(kMessageBytesLimit);
  grpc::ResourceQuota quota("vswap_client");
  quota.Resize(kQuotaBytes);
  arguments.SetResourceQuota(quota);
  return grpc::CreateCustomChannel(frontend, grpc::InsecureChannelCredentials(), arguments);
}

StatusOr<Attachment> Attach(const ClientOptions& options) {
  v1::OpenRequest request;
  request.set_name(options.space);
  request.set_holder(options.holder);
  request.set_take_over(options.take_over);
  request.set_create_pages(options.create_pages);
  request.set_kind(static_cast<v1::SpaceKind>(options.kind));
  // An attempt that was given up may still be running somewhere: it must not fence the next.
  request.set_attempt(SystemRandom().Next64() | 1);
  v1::OpenResponse response;
  VSWAP_RETURN_IF_ERROR(CallPatiently(options, [&](Stub& stub, grpc::ClientContext& context, int) {
    return stub.Open(&context, request, &response);
  }));
  const v1::ShardMap& map = response.shard_map();
  if (map.shard_count() == 0 || map.shard_count() > kShardCountMax ||
      map.epochs_size() != static_cast<int>(map.shard_count()) || response.space_pages() == 0) {
    return MakeError(StatusCode::kInternal,
                     "frontend " + options.frontend + " answered Open without a shard map");
  }
  return Attachment{response.space(), response.token(), response.space_pages(), map,
                    static_cast<SpaceKind>(response.kind())};
}

Status Detach(const ClientOptions& options, const Attachment& attachment) {
  v1::CloseRequest request;
  request.set_space(attachment.space);
  request.set_token(attachment.token);
  bool repeated = false;
  const Status status =
      CallPatiently(options, [&](Stub& stub, grpc::ClientContext& context, int attempt) {
        repeated = attempt > 1;
        v1::CloseResponse response;
        return stub.Close(&context, request, &response);
      });
  // The answer to the first attempt may have got lost.
  return repeated && ReasonOf(status) == ErrorReason::kFenced ? Status() : status;
}

}  // namespace vswap::client
