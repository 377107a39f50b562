#include "client/bench/echo_client.h"

#include <algorithm>
#include <cstring>
#include <deque>

#include "client/attach.h"
#include "client/stream.h"

namespace vswap::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

grpc::ByteBuffer MakeRequest(size_t message_bytes, size_t answer_bytes) {
  const auto wanted = static_cast<uint32_t>(answer_bytes);
  std::string content(std::max(message_bytes, sizeof(wanted)), 'e');
  std::memcpy(content.data(), &wanted, sizeof(wanted));
  grpc::Slice slice(content);
  return grpc::ByteBuffer(&slice, 1);
}

// One phase on one stream. Answers come in the order of the messages.
class EchoPhase {
 public:
  EchoPhase(const std::string& address, grpc::ByteBuffer request, uint64_t depth, Duration length)
      : request_(std::move(request)), depth_(depth), length_(length) {
    client::Stream::Handlers handlers;
    handlers.started = [this] {
      begin_ = SteadyClock::now();
      for (uint64_t i = 0; i < depth_; ++i) {
        Begin();
      }
    };
    handlers.message = [this](grpc::ByteBuffer&) { OnAnswer(); };
    handlers.written = [this] { Write(); };
    handlers.ended = [this](Status why) { OnEnded(std::move(why)); };
    stream_ = std::make_shared<client::Stream>(client::MakeChannel(address), events_,
                                               std::move(handlers));
  }

  StatusOr<CallTimes> Run() {
    stream_->Start();
    events_.Hold();  // this thread runs what comes, at once
    events_.Run();
    if (!over_) {
      return failure_;
    }
    std::ranges::sort(times_.latencies_us);
    return std::move(times_);
  }

 private:
  void Begin() {
    begun_.push_back(SteadyClock::now());
    ++unwritten_;
    Write();
  }

  void Write() {
    if (unwritten_ > 0 && stream_->TryBeginWrite()) {
      --unwritten_;
      stream_->Write(request_);
    }
  }

  void OnAnswer() {
    const auto now = SteadyClock::now();
    times_.latencies_us.push_back(
        std::chrono::duration<double, std::micro>(now - begun_.front()).count());
    begun_.pop_front();
    if (now - begin_ < length_) {
      Begin();
    } else if (begun_.empty()) {
      times_.seconds = std::chrono::duration<double>(now - begin_).count();
      over_ = true;
      stream_->Cancel();
    }
  }

  void OnEnded(Status why) {
    failure_ = std::move(why);
    stream_ = nullptr;
    events_.Stop();
  }

  const grpc::ByteBuffer request_;
  const uint64_t depth_;
  const Duration length_;
  client::EventQueue events_{[] { return std::chrono::milliseconds(250); }};
  std::shared_ptr<client::Stream> stream_;
  SteadyClock::time_point begin_;
  std::deque<SteadyClock::time_point> begun_;  // of messages without an answer
  uint64_t unwritten_ = 0;
  CallTimes times_;
  bool over_ = false;
  Status failure_;
};

}  // namespace

StatusOr<CallTimes> EchoClient::Run(size_t message_bytes, size_t answer_bytes, uint64_t depth,
                                    Duration length) const {
  return EchoPhase(address_, MakeRequest(message_bytes, answer_bytes), depth, length).Run();
}

}  // namespace vswap::bench
