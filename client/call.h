#pragma once

#include <map>
#include <span>

#include "client/batcher.h"
#include "client/range_lock.h"
#include "client/request.h"
#include "client/swap_client.h"

namespace vswap::client {

// What a call needs; outlives it.
struct CallContext {
  const Clock& clock;
  RequestSink& sink;
  RequestPool& pool;
  SpaceId space = 0;
  uint32_t shard_count = 0;
  Duration patience{};
};

// One call of the API on its way: cut into batches, of which at most kBatchesMax are in the sink at
// once, and pages that the service could not serve now are asked for again until the patience is
// over. A call on slots that change waits in the range lock until it is granted.
//
// The batches of a call touch different slots, so their order does not matter; a page that is
// stored again goes with a new sequence, after the answer to the old one. Lives where its caller
// wants, and allocates nothing: ranges, bytes and codes are borrowed until it has finished.
// Thread-safe.
class Call : public RequestOwner, public RangeLock::Ticket {
 public:
  static constexpr size_t kBatchesMax = 16;

  // Told once that everything is answered; the call may be gone after that.
  class Finisher {
   public:
    virtual ~Finisher() = default;
    virtual void OnFinished() = 0;
  };

  Call(const CallContext& context, RequestKind kind, Lane lane, std::span<const PageRange> ranges,
       Finisher& finisher);
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  RequestKind kind() const { return kind_; }
  std::span<const PageRange> ranges() const { return ranges_; }
  // Once, before Start: what the first batch lies in, so that a call that has begun never waits for
  // another one.
  void AddRoom(Request& request);
  // Once.
  void Start() { Pump(); }
  // For whoever counts.
  void set_begun(TimePoint begun) { begun_ = begun; }
  TimePoint begun() const { return begun_; }
  // When finished: the first failure of a batch.
  const Status& status() const { return result_; }

 protected:
  // Adds what only this kind of request has.
  virtual void Fill(Request&) {}
  // The batch failed as a whole.
  virtual void Fail(const Request&) {}
  // Takes an answer with all pages' results. Slots to be asked for again go into `again`; `last`
  // means that there is no more patience.
  virtual void Take(const Request& request, const Answer& answer, bool last, Pieces& again) = 0;

  const CallContext& context_;

 private:
  void Granted() override { Start(); }
  void OnAnswer(Request& request, const Answer& answer) override;
  void Pump();
  Request* NextBatch() REQUIRES(mutex_);
  void Submit(Request& request);
  void Retry(Request& request, const Pieces& again);

  const RequestKind kind_;
  const Lane lane_;
  const std::span<const PageRange> ranges_;
  Finisher& finisher_;
  TimePoint begun_{};
  Mutex mutex_;
  Batcher batcher_ GUARDED_BY(mutex_);
  bool pumping_ GUARDED_BY(mutex_) = false;  // some thread is in Pump
  bool finished_ GUARDED_BY(mutex_) = false;
  size_t running_ GUARDED_BY(mutex_) = 0;
  Status status_ GUARDED_BY(mutex_);
  Status result_;
};

// `codes`: one a page of the ranges.
class StoreCall : public Call {
 public:
  StoreCall(const CallContext& context, std::span<const PageRange> ranges, ByteView bytes,
            std::span<PageCode> codes, Finisher& finisher);

 private:
  void Fill(Request& request) override;
  void Fail(const Request& request) override;
  void Take(const Request& request, const Answer& answer, bool last, Pieces& again) override;

  const ByteView bytes_;
  const std::span<PageCode> codes_;  // batches write different elements
};

class LoadCall : public Call {
 public:
  LoadCall(const CallContext& context, std::span<const PageRange> ranges,
           std::span<std::byte> bytes, std::span<PageCode> codes, Finisher& finisher);

 private:
  void Fill(Request& request) override;
  void Fail(const Request& request) override;
  void Take(const Request& request, const Answer& answer, bool last, Pieces& again) override;

  const std::span<std::byte> bytes_;
  const std::span<PageCode> codes_;  // batches write different elements
};

// A free or a prefetch.
class PlainCall : public Call {
 public:
  PlainCall(const CallContext& context, RequestKind kind, std::span<const PageRange> ranges,
            Finisher& finisher);

 private:
  void Take(const Request&, const Answer&, bool, Pieces&) override {}
};

class ExtentsCall : public Call {
 public:
  ExtentsCall(const CallContext& context, std::span<const PageRange> ranges, Finisher& finisher);
  // When finished without a failure: the runs in order, neighbours of different kinds.
  SwapClient::Runs TakeRuns();

 private:
  void Take(const Request& request, const Answer& answer, bool last, Pieces& again) override;

  Mutex parts_mutex_;
  std::map<uint64_t, SwapClient::Runs> parts_ GUARDED_BY(parts_mutex_);  // by their first page
};

}  // namespace vswap::client
