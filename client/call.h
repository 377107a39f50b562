#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "client/batcher.h"
#include "client/request.h"
#include "client/swap_client.h"

namespace vswap::client {

// What a call needs; outlives it.
struct CallContext {
  const Clock& clock;
  RequestSink& sink;
  SpaceId space = 0;
  uint32_t shard_count = 0;
  Duration patience{};
};

// One call of the API on its way: cut into batches, of which at most kBatchesMax are in the sink at
// once, and pages that the service could not serve now are asked for again until the patience is
// over.
//
// The batches of a call touch different slots, so their order does not matter; a page that is
// stored again goes with a new sequence, after the answer to the old one. Thread-safe; kept alive
// by its own requests.
class Call : public std::enable_shared_from_this<Call> {
 public:
  static constexpr size_t kBatchesMax = 16;

  Call(const CallContext& context, RequestKind kind, Lane lane, std::vector<PageRange> ranges);
  virtual ~Call() = default;
  // Once.
  void Start() { Pump(); }

 protected:
  // Adds what only this kind of request has.
  virtual void Fill(const Batch&, Request*) {}
  // The batch failed as a whole.
  virtual void Fail(const Batch&) {}
  // Takes an answer with all pages' results. Pages to be asked for again go into `again`; `last`
  // means that there is no more patience. `tries`: how often these pages were sent.
  virtual void Take(const Batch& batch, const Answer& answer, int tries, bool last,
                    Batch* again) = 0;
  // Everything is answered; with the first failure of a batch.
  virtual void Finished(Status status) = 0;

  const CallContext context_;

 private:
  struct Attempt {
    Batch batch;
    int tries = 0;
    TimePoint deadline{};
    Duration backoff{};
  };
  void Pump();
  std::optional<Batch> NextBatch() REQUIRES(mutex_);
  void Submit(Attempt attempt);
  void OnAnswer(const Request& request, Attempt attempt, const Answer& answer);
  void Retry(Attempt attempt, Batch again);

  const RequestKind kind_;
  const Lane lane_;
  Mutex mutex_;
  Batcher batcher_ GUARDED_BY(mutex_);
  bool cut_ GUARDED_BY(mutex_) = false;      // the batcher is empty
  bool pumping_ GUARDED_BY(mutex_) = false;  // some thread is in Pump
  bool finished_ GUARDED_BY(mutex_) = false;
  size_t running_ GUARDED_BY(mutex_) = 0;
  Status status_ GUARDED_BY(mutex_);
};

class StoreCall : public Call {
 public:
  StoreCall(const CallContext& context, std::vector<PageRange> ranges, ByteView bytes,
            SwapClient::PagesDone done);

 private:
  void Fill(const Batch& batch, Request* request) override;
  void Fail(const Batch& batch) override;
  void Take(const Batch& batch, const Answer& answer, int tries, bool last, Batch* again) override;
  void Finished(Status status) override;

  const ByteView bytes_;
  std::vector<PageCode> codes_;  // batches write different elements
  const SwapClient::PagesDone done_;
};

class LoadCall : public Call {
 public:
  LoadCall(const CallContext& context, std::vector<PageRange> ranges, std::span<std::byte> bytes,
           SwapClient::PagesDone done);

 private:
  void Fill(const Batch& batch, Request* request) override;
  void Fail(const Batch& batch) override;
  void Take(const Batch& batch, const Answer& answer, int tries, bool last, Batch* again) override;
  void Finished(Status status) override;

  const std::span<std::byte> bytes_;
  std::vector<PageCode> codes_;  // batches write different elements
  const SwapClient::PagesDone done_;
};

// A free or a prefetch.
class PlainCall : public Call {
 public:
  PlainCall(const CallContext& context, RequestKind kind, std::vector<PageRange> ranges,
            SwapClient::StatusDone done);

 private:
  void Take(const Batch&, const Answer&, int, bool, Batch*) override {}
  void Finished(Status status) override { done_(std::move(status)); }

  const SwapClient::StatusDone done_;
};

class ExtentsCall : public Call {
 public:
  ExtentsCall(const CallContext& context, PageRange range, SwapClient::RunsDone done);

 private:
  void Take(const Batch& batch, const Answer& answer, int tries, bool last, Batch* again) override;
  void Finished(Status status) override;

  Mutex mutex_;
  std::map<uint64_t, SwapClient::Runs> parts_ GUARDED_BY(mutex_);  // by their first page
  const SwapClient::RunsDone done_;
};

}  // namespace vswap::client
