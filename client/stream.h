#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>

#include "services/common/status.h"

namespace vswap::client {

// The completion queue of one client, its tags and their number. A tag is run once and deleted.
// Thread-safe, but for Run, which is the one thread.
class EventQueue {
 public:
  using Event = std::function<void(bool ok)>;

  // A tag for an operation that is begun at once.
  void* Tag(Event event);
  grpc::CompletionQueue* queue() { return &queue_; }
  // Runs it on the queue's thread, soon.
  void Post(std::function<void()> task);

  // Runs events, and `tick` at least as often as the interval that it returns, until Stop was
  // called and every operation has come to its end.
  void Run(const std::function<std::chrono::milliseconds()>& tick);
  // Has `tick` run after the event that is running. For the one thread.
  void Hurry() { hurry_ = true; }
  // No operation is begun after this, but for those that end a stream.
  void Stop() { stopping_ = true; }

 private:
  grpc::CompletionQueue queue_;
  bool hurry_ = false;
  std::atomic<uint64_t> operations_{0};
  std::atomic<bool> stopping_{false};
};

// One call of Exchange, as the client sees it: any number of messages there and back, one write at
// a time.
//
// Handlers run on the event queue's thread; `ended` is the last, and comes once. Kept alive by its
// operations. Thread-safe.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  struct Handlers {
    std::function<void()> started;
    std::function<void(const grpc::ByteBuffer&)> message;
    std::function<void()> written;
    std::function<void(Status)> ended;
  };

  Stream(std::shared_ptr<grpc::Channel> channel, EventQueue& events, Handlers handlers);

  void Start();
  // Reserves the stream for one write; false while another is under way.
  bool TryBeginWrite() { return !writing_.exchange(true); }
  // Of what was reserved: writes, then calls `written`; or gives the place back.
  void Write(const grpc::ByteBuffer& message);
  void EndWrite() { writing_ = false; }
  // Breaks the call off; `ended` follows.
  void Cancel() { context_.TryCancel(); }

 private:
  void* Tag(void (Stream::*method)(bool));
  void OnStarted(bool ok);
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool ok);

  EventQueue& events_;
  const Handlers handlers_;
  grpc::ClientContext context_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::ByteBuffer incoming_;
  grpc::Status status_;
  std::atomic<bool> writing_{false};
};

}  // namespace vswap::client
