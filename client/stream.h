#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>

#include "client/event_queue.h"
#include "services/common/status.h"

namespace vswap::client {

// One call of Exchange, as the client sees it: any number of messages there and back, one write at
// a time.
//
// Handlers run as events of the queue; `ended` is the last, and comes once. Kept alive by its
// operations. Thread-safe.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  struct Handlers {
    std::function<void()> started;
    std::function<void(grpc::ByteBuffer&)> message;
    std::function<void()> written;
    std::function<void(Status)> ended;
  };

  Stream(std::shared_ptr<grpc::Channel> channel, EventQueue& events, Handlers handlers);

  void Start();
  // Reserves the stream for one write; false while another is under way.
  bool TryBeginWrite() { return !is_writing_.exchange(true); }
  // Of what was reserved: writes, then calls `written`; or gives the place back.
  void Write(const grpc::ByteBuffer& message);
  void EndWrite() { is_writing_ = false; }
  // Breaks the call off; `ended` follows.
  void Cancel() { context_.TryCancel(); }

 private:
  // At most one of a kind is under way.
  class Operation : public Event {
   public:
    explicit Operation(void (Stream::*method)(bool)) : method_(method) {}
    void Keep(std::shared_ptr<Stream> stream) { stream_ = std::move(stream); }
    void Run(bool ok) override {
      const std::shared_ptr<Stream> stream = std::move(stream_);
      (stream.get()->*method_)(ok);
    }

   private:
    void (Stream::*const method_)(bool);
    std::shared_ptr<Stream> stream_;  // while it is under way
  };
  void* Tag(Operation& operation);
  void OnStarted(bool ok);
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool ok);

  EventQueue& events_;
  const Handlers handlers_;
  grpc::ClientContext context_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  Operation starting_{&Stream::OnStarted};
  Operation reading_{&Stream::OnRead};
  Operation writing_{&Stream::OnWritten};
  Operation finishing_{&Stream::OnFinished};
  grpc::ByteBuffer incoming_;
  grpc::Status status_;
  std::atomic<bool> is_writing_{false};
};

}  // namespace vswap::client
