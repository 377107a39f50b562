#include "client/stream.h"

#include <grpcpp/alarm.h>

#include <utility>

#include "proto/grpc_glue.h"

namespace vswap::client {

void* EventQueue::Tag(Event event) {
  ++operations_;
  return new Event(std::move(event));
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
      case grpc::CompletionQueue::GOT_EVENT: {
        const std::unique_ptr<Event> event(static_cast<Event*>(tag));
        (*event)(ok);
        --operations_;
        break;
      }
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

void* Stream::Tag(void (Stream::*method)(bool)) {
  return events_.Tag([self = shared_from_this(), method](bool ok) { (self.get()->*method)(ok); });
}

void Stream::Start() {
  call_ = stub_.PrepareCall(&context_, "/vswap.v1.FrontEndService/Exchange", events_.queue());
  call_->StartCall(Tag(&Stream::OnStarted));
}

void Stream::Write(const grpc::ByteBuffer& message) {
  call_->Write(message, Tag(&Stream::OnWritten));
}

void Stream::OnStarted(bool ok) {
  if (!ok) {
    call_->Finish(&status_, Tag(&Stream::OnFinished));
    return;
  }
  call_->Read(&incoming_, Tag(&Stream::OnRead));
  handlers_.started();
}

void Stream::OnRead(bool ok) {
  if (!ok) {
    call_->Finish(&status_, Tag(&Stream::OnFinished));
    return;
  }
  grpc::ByteBuffer message;
  message.Swap(&incoming_);
  call_->Read(&incoming_, Tag(&Stream::OnRead));
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
