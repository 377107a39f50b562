#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <memory>

#include "services/common/mutex.h"
#include "vswap/v1/frontend.grpc.pb.h"

namespace vswap {

// What a completion queue of the server gives back: run once, with the operation's success.
using QueueEvent = std::function<void(bool ok)>;

// The calls that have come to an end, so that the queue can be shut down after them. Thread-safe.
class LiveStreams {
 public:
  void Add();
  void Remove();
  // Returns when there is none.
  void WaitForNone();

 private:
  Mutex mutex_;
  CondVar none_;
  size_t live_ GUARDED_BY(mutex_) = 0;
};

// One call of FrontEndService.Exchange: reads requests, at most kInFlightMax of them unanswered,
// and writes answers in the order they come. When the client breaks off, requests under way run to
// their end and their answers are dropped.
//
// Thread-safe. Kept alive by its own outstanding operations and by the answers it waits for.
class ExchangeStream : public std::enable_shared_from_this<ExchangeStream> {
 public:
  static constexpr size_t kInFlightMax = 64;

  using Stream = grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;
  using Answer = std::function<void(grpc::ByteBuffer)>;
  // Answers exactly once, on any thread, possibly within the call.
  using Handler = std::function<void(const grpc::ByteBuffer& request, Answer answer)>;
  // Asks gRPC for the next call.
  using Request = std::function<void(grpc::ServerContext*, Stream*, QueueEvent*)>;

  // Waits for a call, serves it, and waits for the next one at once. `live`, `request` and
  // `handler` outlive all streams.
  static void Accept(const Request& request, const Handler& handler, LiveStreams& live);

  ExchangeStream(const Handler& handler, LiveStreams& live);
  ~ExchangeStream();

 private:
  void Read();
  void OnRead(bool ok);
  void Send(grpc::ByteBuffer answer);
  void Write();
  void OnWritten(bool ok);
  void FinishIfDone();
  QueueEvent* Event(void (ExchangeStream::*method)(bool));

  const Handler& handler_;
  LiveStreams& live_;
  grpc::ServerContext context_;
  Stream stream_{&context_};
  grpc::ByteBuffer incoming_;  // of the one read under way

  Mutex mutex_;
  std::deque<grpc::ByteBuffer> outgoing_ GUARDED_BY(mutex_);
  size_t in_flight_ GUARDED_BY(mutex_) = 0;  // read and not yet written
  bool reading_ GUARDED_BY(mutex_) = false;
  bool writing_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;   // nothing more to read
  bool broken_ GUARDED_BY(mutex_) = false;  // nothing more can be written
  bool finished_ GUARDED_BY(mutex_) = false;
};

}  // namespace vswap
