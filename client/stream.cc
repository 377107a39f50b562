#include "client/stream.h"

#include <grpcpp/alarm.h>

#include <utility>

#include "proto/grpc_glue.h"

namespace vswap::client {

namespace {

class OnceEvent : public Event {
 public:
  explicit OnceEvent(std::function<void(bool)> event) : event_(std::move(event)) {}
  void Run(bool ok) override {
    event_(ok);
    delete this;
  }

 private:
  const std::function<void(bool)> event_;
};

}  // namespace

void* EventQueue::Tag(std::function<void(bool ok)> event) {
  return Tag(*new OnceEvent(std::move(event)));
}

void EventQueue::Post(std::function<void()> task) {
  auto alarm = std::make_shared<grpc::Alarm>();
  grpc::Alarm* const raw = alarm.get();
  raw->Set(&queue_, std::chrono::system_clock::now(),
           Tag([alarm = std::move(alarm), task = std::move(task)](bool) { task(); }));
}

void EventQueue::Run(const std::function<std::chrono::milliseconds()>& tick) {
  std::chrono::milliseconds interval = tick();
  auto next_tick = std::chrono::system_clock::now() + interval;
  bool shut_down = false;
  while (true) {
    void* tag = nullptr;
    bool ok = false;
    switch (queue_.AsyncNext(&tag, &ok, next_tick)) {
      case grpc::CompletionQueue::SHUTDOWN:
        return;
      case grpc::CompletionQueue::GOT_EVENT:
        static_cast<Event*>(tag)->Run(ok);
        --operations_;
        break;
      case grpc::CompletionQueue::TIMEOUT:
        break;
    }
    const auto now = std::chrono::system_clock::now();
    // A wall clock that is set back must not stop the ticks.
    if (std::exchange(hurry_, false) || now >= next_tick || next_tick - now > interval) {
      interval = tick();
      next_tick = now + interval;
    }
    if (stopping_ && operations_ == 0 && !shut_down) {
      shut_down = true;
      queue_.Shutdown();
    }
  }
}

Stream::Stream(std::shared_ptr<grpc::Channel> channel, EventQueue& events, Handlers handlers)
    : events_(events), handlers_(std::move(handlers)), stub_(std::move(channel)) {}

void* Stream::Tag(Operation& operation) {
  operation.Keep(shared_from_this());
  return events_.Tag(operation);
}

void Stream::Start() {
  call_ = stub_.PrepareCall(&context_, "/vswap.v1.FrontEndService/Exchange", events_.queue());
  call_->StartCall(Tag(starting_));
}

void Stream::Write(const grpc::ByteBuffer& message) { call_->Write(message, Tag(writing_)); }

void Stream::OnStarted(bool ok) {
  if (!ok) {
    call_->Finish(&status_, Tag(finishing_));
    return;
  }
  call_->Read(&incoming_, Tag(reading_));
  handlers_.started();
}

void Stream::OnRead(bool ok) {
  if (!ok) {
    call_->Finish(&status_, Tag(finishing_));
    return;
  }
  grpc::ByteBuffer message;
  message.Swap(&incoming_);
  call_->Read(&incoming_, Tag(reading_));
  handlers_.message(message);
}

void Stream::OnWritten(bool) {
  // A failed write is followed by a failed read, which ends the stream.
  EndWrite();
  handlers_.written();
}

void Stream::OnFinished(bool) {
  Status status = FromGrpc(status_);
  if (status.ok()) {
    status = MakeError(StatusCode::kUnavailable, "the server ended the stream");
  }
  handlers_.ended(std::move(status));
}

}  // namespace vswap::client
