#include "client/map_asker.h"

#include "client/attach.h"

namespace vswap::client {
namespace {

constexpr std::chrono::seconds kDeadline(2);

}  // namespace

void MapAsker::Ask(const std::vector<std::string>& front_ends) {
  if (stopped_ || call_ != nullptr || clock_.Now() < not_before_ || front_ends.empty()) {
    return;
  }
  call_ = MapCall::Begin(MakeChannel(front_ends[next_++ % front_ends.size()]), kDeadline, false,
                         events_, [this](const MapCall& call) { OnAnswer(call); });
}

void MapAsker::OnAnswer(const MapCall& call) {
  call_ = nullptr;
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
