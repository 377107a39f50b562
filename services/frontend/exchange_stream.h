#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <memory>

#include "services/common/mutex.h"
#include "vswap/v1/frontend.grpc.pb.h"

namespace vswap {

// The calls that have not come to their end. Thread-safe.
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
// By gRPC's callbacks, like the unary calls: a completion queue of our own was slower by a thread's
// wake a message, since whichever of gRPC's threads polls the connections has to hand what it finds
// to the queue's.
//
// Thread-safe. Kept alive by gRPC until OnDone, and by the answers it waits for.
class ExchangeStream : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                       public std::enable_shared_from_this<ExchangeStream> {
 public:
  static constexpr size_t kInFlightMax = 64;

  using Answer = std::function<void(grpc::ByteBuffer)>;
  // Answers exactly once, on any thread, possibly within the call.
  using Handler = std::function<void(const grpc::ByteBuffer& request, Answer answer)>;

  // A stream that serves the call that was just accepted. `live` and `handler` outlive it.
  static ExchangeStream* Begin(const Handler& handler, LiveStreams& live);

  ExchangeStream(const Handler& handler, LiveStreams& live);
  ~ExchangeStream() override;

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;
  void Send(grpc::ByteBuffer answer);
  // Writes the next answer; while there is one, `writing_` is set.
  void Write();
  void FinishIfDone();

  const Handler& handler_;
  LiveStreams& live_;
  std::shared_ptr<ExchangeStream> self_;  // until OnDone
  grpc::ByteBuffer incoming_;             // of the one read under way
  grpc::ByteBuffer being_written_;        // of the one write under way

  Mutex mutex_;
  std::deque<grpc::ByteBuffer> outgoing_ GUARDED_BY(mutex_);
  size_t in_flight_ GUARDED_BY(mutex_) = 0;  // read and not yet written
  bool reading_ GUARDED_BY(mutex_) = true;
  bool writing_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;   // nothing more to read
  bool broken_ GUARDED_BY(mutex_) = false;  // nothing more can be written
  bool finished_ GUARDED_BY(mutex_) = false;
};

}  // namespace vswap
