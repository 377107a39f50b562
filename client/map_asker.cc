#include "client/map_asker.h"

#include <utility>

#include "client/attach.h"

namespace vswap::client {
namespace {

constexpr std::chrono::seconds kDeadline(2);

}  // namespace

struct MapAsker::Call {
  std::unique_ptr<v1::FrontEndService::Stub> stub;
  grpc::ClientContext context;
  grpc::Status status;
  v1::GetShardMapResponse response;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::GetShardMapResponse>> reader;
};

void MapAsker::Ask(const std::vector<std::string>& front_ends) {
  if (stopped_ || call_ != nullptr || clock_.Now() < not_before_ || front_ends.empty()) {
    return;
  }
  auto call = std::make_shared<Call>();
  call_ = call;
  call->stub = v1::FrontEndService::NewStub(MakeChannel(front_ends[next_++ % front_ends.size()]));
  call->context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  call->reader =
      call->stub->AsyncGetShardMap(&call->context, v1::GetShardMapRequest(), events_.queue());
  call->reader->Finish(&call->response, &call->status,
                       events_.Tag([this, call](bool) { OnAnswer(*call); }));
}

void MapAsker::OnAnswer(const Call& call) {
  const std::shared_ptr<Call> keep = std::exchange(call_, nullptr);
  not_before_ = clock_.Now() + kPause;
  if (call.status.ok() && !stopped_) {
    map_(call.response.shard_map());
  }
}

void MapAsker::Stop() {
  stopped_ = true;
  if (call_ != nullptr) {
    call_->context.TryCancel();
  }
}

}  // namespace vswap::client
