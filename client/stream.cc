#include "client/stream.h"

#include <utility>

#include "proto/grpc_glue.h"

namespace vswap::client {

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
