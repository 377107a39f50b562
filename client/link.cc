#include "client/link.h"

#include <algorithm>
#include <utility>

#include "client/attach.h"
#include "proto/grpc_glue.h"

namespace vswap::client {
namespace {

constexpr std::chrono::seconds kMapDeadline(5);

}  // namespace

Link::Link(std::string frontend, const Clock& clock, EventQueue& events, Handlers handlers)
    : frontend_(std::move(frontend)),
      clock_(clock),
      events_(events),
      handlers_(std::move(handlers)),
      channel_(MakeChannel(frontend_)) {}

void Link::Tick() {
  if (!stopped_ && !stream_ && clock_.Now() >= retry_at_) {
    AskForMap();
  }
}

void Link::AskForMap() {
  if (stopped_ || map_call_) {
    return;
  }
  map_call_ = MapCall::Begin(channel_, kMapDeadline, true, events_,
                             [this](const MapCall& call) { OnMap(call); });
}

void Link::OnMap(const MapCall& call) {
  if (map_call_.get() != &call) {
    return;  // of a connection that was given up
  }
  map_call_ = nullptr;
  if (stopped_) {
    return;
  }
  if (call.status.ok()) {
    handlers_.map(call.response.shard_map());
    if (!stream_) {
      StartStream();
    }
  } else if (!stream_) {
    Down(FromGrpc(call.status));
  }
}

void Link::StartStream() {
  // The stream's handlers name it by address only: it is compared, never used, after its end.
  auto name = std::make_shared<const Stream*>(nullptr);
  Stream::Handlers handlers;
  handlers.started = [this, name] {
    if (stream_.get() == *name) {
      handlers_.up(stream_);
    }
  };
  handlers.message = [this, name](grpc::ByteBuffer& message) { handlers_.message(*name, message); };
  handlers.written = [this] { handlers_.written(); };
  handlers.ended = [this, name](Status why) { OnEnded(*name, std::move(why)); };
  stream_ = std::make_shared<Stream>(channel_, events_, std::move(handlers));
  *name = stream_.get();
  stream_->Start();
}

void Link::OnEnded(const Stream* stream, Status why) {
  if (stream_.get() == stream) {
    Down(std::move(why));
  }
}

void Link::Down(Status why) {
  stream_ = nullptr;
  retry_at_ = clock_.Now() + pause_;
  pause_ = std::min(pause_ * 2, kPauseMax);
  handlers_.down(std::move(why));
}

void Link::Replace(const Status& why) {
  if (stopped_) {
    return;
  }
  if (map_call_) {
    map_call_->context.TryCancel();
    map_call_ = nullptr;
  }
  if (stream_) {
    stream_->Cancel();
  }
  channel_ = MakeChannel(frontend_);
  Down(why);
}

void Link::MoveTo(const std::string& frontend) {
  frontend_ = frontend;
  Replace(MakeError(StatusCode::kUnavailable, "the front-end is gone"));
  retry_at_ = clock_.Now();
}

void Link::Stop() {
  stopped_ = true;
  if (stream_) {
    stream_->Cancel();
  }
  if (map_call_) {
    map_call_->context.TryCancel();
  }
}

}  // namespace vswap::client
