#pragma once

#include <atomic>
#include <map>
#include <span>

#include "client/batcher.h"
#include "client/operation.h"
#include "client/range_lock.h"
#include "client/request.h"
#include "client/swap_client.h"

namespace vswap::client {

// The slots of a request that are to be asked for again. Where they come in more pieces than a
// request has room for, that is all of its slots: doing what is done again changes nothing.
class Again {
 public:
  explicit Again(const Request& request) : request_(request) {}

  void Add(Offset offset, uint64_t page) {
    if (!Join(pieces_, {{offset, 1}, page})) {
      all_ = true;
    }
  }
  void AllIfAny() { all_ = !pieces_.empty(); }
  const Pieces& pieces() const { return all_ ? request_.pieces : pieces_; }

 private:
  const Request& request_;
  Pieces pieces_;
  bool all_ = false;
};

// A call on ranges of slots: cut into batches, of which at most kBatchesMax are in the sink at
// once, and pages that the service could not serve now are asked for again until the patience is
// over. A call on slots that change waits in the range lock until it is granted.
//
// The batches of a call touch different slots, so their order does not matter; a page that is
// stored again goes with a new sequence, after the answer to the old one. Lives where its caller
// wants, and allocates nothing: ranges, bytes and codes are borrowed until it has finished.
// Thread-safe.
class Call : public Operation, public RequestOwner, public RangeLock::Ticket {
 public:
  static constexpr size_t kBatchesMax = 16;

  Call(const OperationContext& context, RequestKind kind, Lane lane,
       std::span<const PageRange> ranges, Finisher& finisher);

  std::span<const PageRange> ranges() const { return ranges_; }
  void AddRoom(Request& request) override;
  void Start() override;
  uint64_t pages() const override;

 protected:
  // Adds what only this kind of request has.
  virtual void Fill(Request&) {}
  // The batch failed as a whole.
  virtual void Fail(const Request&) {}
  // Takes an answer with all pages' results. Slots to be asked for again go into `again`; `last`
  // means that there is no more patience.
  virtual void Take(const Request& request, const Answer& answer, bool last, Again& again) = 0;

 private:
  void Granted() override { Start(); }
  void OnAnswer(Request& request, const Answer& answer) override;
  // Of the one thread that has set pumping_. The call may be gone when it returns.
  void Pump();
  Request* NextBatch() REQUIRES(mutex_);
  void Submit(Request& request);
  void Retry(Request& request, const Pieces& again);

  const Lane lane_;
  const std::span<const PageRange> ranges_;
  Mutex mutex_;
  Batcher batcher_ GUARDED_BY(mutex_);
  bool pumping_ GUARDED_BY(mutex_) = false;  // some thread is in Pump: only it may end the call
  size_t running_ GUARDED_BY(mutex_) = 0;
  Status status_ GUARDED_BY(mutex_);
};

// `codes`: one a page of the ranges.
class StoreCall : public Call {
 public:
  StoreCall(const OperationContext& context, std::span<const PageRange> ranges, ByteView bytes,
            std::span<PageCode> codes, Finisher& finisher);

 protected:
  void Fill(Request& request) override;
  void Take(const Request& request, const Answer& answer, bool last, Again& again) override;

 private:
  void Fail(const Request& request) override;

  const ByteView bytes_;
  const std::span<PageCode> codes_;  // batches write different elements
};

// Of one folio, all pages or none: one request, and what is sent again is all of it.
class WholeStoreCall : public StoreCall {
 public:
  using StoreCall::StoreCall;

 private:
  void Fill(Request& request) override;
  void Take(const Request& request, const Answer& answer, bool last, Again& again) override;
};

class LoadCall : public Call {
 public:
  LoadCall(const OperationContext& context, std::span<const PageRange> ranges,
           std::span<std::byte> bytes, std::span<PageCode> codes, Finisher& finisher);

 protected:
  void Fill(Request& request) override;
  void Take(const Request& request, const Answer& answer, bool last, Again& again) override;

 private:
  void Fail(const Request& request) override;

  const std::span<std::byte> bytes_;
  const std::span<PageCode> codes_;  // batches write different elements
};

// Of one folio, if it has one backing: one request, and what is asked for again is all of it.
class UnmixedLoadCall : public LoadCall {
 public:
  using LoadCall::LoadCall;

 private:
  void Fill(Request& request) override;
  void Take(const Request& request, const Answer& answer, bool last, Again& again) override;
};

// `codes`: one a page of the ranges. A reference is added once: nothing is asked for again under
// another sequence.
class DuplicateCall : public Call {
 public:
  DuplicateCall(const OperationContext& context, std::span<const PageRange> ranges,
                std::span<PageCode> codes, Finisher& finisher);

 private:
  void Fail(const Request& request) override;
  void Take(const Request& request, const Answer& answer, bool last, Again& again) override;

  const std::span<PageCode> codes_;  // batches write different elements
};

// A free or a prefetch.
class PlainCall : public Call {
 public:
  PlainCall(const OperationContext& context, RequestKind kind, std::span<const PageRange> ranges,
            Finisher& finisher);
  // When finished: of a free, what the service counted.
  uint64_t freed_pages() const { return freed_pages_; }

 private:
  void Take(const Request&, const Answer& answer, bool, Again&) override {
    freed_pages_ += answer.freed_pages;
  }

  std::atomic<uint64_t> freed_pages_{0};
};

class ExtentsCall : public Call {
 public:
  ExtentsCall(const OperationContext& context, std::span<const PageRange> ranges,
              Finisher& finisher);
  // When finished without a failure: the runs in order, neighbours of different kinds.
  SwapClient::Runs TakeRuns();
  // The first run as the service told it: neighbours of one kind that can not be brought in as one
  // piece are apart.
  SlotRun FirstRun();

 private:
  void Take(const Request& request, const Answer& answer, bool last, Again& again) override;

  Mutex parts_mutex_;
  std::map<uint64_t, SwapClient::Runs> parts_ GUARDED_BY(parts_mutex_);  // by their first page
};

}  // namespace vswap::client
