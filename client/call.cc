#include "client/call.h"

#include <algorithm>
#include <utility>

#include "client/messages.h"

namespace vswap::client {
namespace {

constexpr Duration kBackoffMin = std::chrono::milliseconds(10);
constexpr Duration kBackoffMax = std::chrono::seconds(1);
// Sendings of a page that arrives damaged at one end, before it is given up.
constexpr int kDamagedTriesMax = 3;

Batcher::Limits BatchLimits(RequestKind kind) {
  switch (kind) {
    case RequestKind::kFree:
      return {kStripePages, Batcher::kExtentsMax};
    case RequestKind::kExtents:
      return {kStripePages, 1};
    default:
      return {kBatchPagesMax, Batcher::kExtentsMax};
  }
}

uint64_t TotalPages(const std::vector<PageRange>& ranges) {
  uint64_t pages = 0;
  for (const PageRange& range : ranges) {
    pages += range.pages;
  }
  return pages;
}

// Calls visit(offset, page of the call, index in the batch) for each slot.
template <typename Visit>
void ForEachSlot(const Batch& batch, Visit visit) {
  size_t index = 0;
  for (const Piece& piece : batch.pieces) {
    for (uint32_t i = 0; i < piece.extent.pages; ++i) {
      visit(piece.extent.offset + i, piece.page + i, index++);
    }
  }
}

void SetAll(const Batch& batch, PageCode code, std::vector<PageCode>* codes) {
  ForEachSlot(batch, [&](Offset, uint64_t page, size_t) { (*codes)[page] = code; });
}

}  // namespace

Call::Call(const CallContext& context, RequestKind kind, Lane lane, std::vector<PageRange> ranges)
    : context_(context),
      kind_(kind),
      lane_(lane),
      batcher_(context.space, context.shard_count, BatchLimits(kind), std::move(ranges)) {}

std::optional<Batch> Call::NextBatch() {
  // After a failure the rest is not begun: the caller learns of it sooner, and its pages keep code
  // kUnavailable.
  if (cut_ || running_ >= kBatchesMax || !status_.ok()) {
    return std::nullopt;
  }
  std::optional<Batch> batch = batcher_.Next();
  cut_ = !batch.has_value();
  return batch;
}

void Call::Pump() {
  {
    MutexLock lock(mutex_);
    if (pumping_) {
      return;  // that thread looks again
    }
    pumping_ = true;
  }
  Status status;
  while (true) {
    std::optional<Batch> batch;
    {
      MutexLock lock(mutex_);
      batch = NextBatch();
      if (!batch) {
        pumping_ = false;
        if (running_ > 0 || finished_) {
          return;
        }
        finished_ = true;
        status = status_;
        break;
      }
      ++running_;
    }
    const TimePoint now = context_.clock.Now();
    Submit({*std::move(batch), 0, now + context_.patience, {}});
  }
  Finished(std::move(status));
}

void Call::Submit(Attempt attempt) {
  auto request = std::make_shared<Request>();
  request->kind = kind_;
  request->lane = lane_;
  request->shard = attempt.batch.shard;
  for (const Piece& piece : attempt.batch.pieces) {
    request->extents.push_back(piece.extent);
  }
  const TimePoint now = context_.clock.Now();
  request->not_before = now + attempt.backoff;
  request->patience = attempt.deadline - now;
  Fill(attempt.batch, request.get());
  ++attempt.tries;
  request->done = [self = shared_from_this(), raw = request.get(),
                   attempt = std::move(attempt)](const Answer& answer) mutable {
    self->OnAnswer(*raw, std::move(attempt), answer);
  };
  context_.sink.Submit(std::move(request));
}

void Call::OnAnswer(const Request& request, Attempt attempt, const Answer& answer) {
  Status status = answer.status;
  if (status.ok()) {
    status = CheckAnswer(request, answer);
  }
  Batch again{attempt.batch.shard, {}, 0};
  if (status.ok()) {
    const bool last = context_.clock.Now() + attempt.backoff * 2 >= attempt.deadline;
    Take(attempt.batch, answer, attempt.tries, last, &again);
  } else {
    Fail(attempt.batch);
  }
  if (again.pages > 0) {
    return Retry(std::move(attempt), std::move(again));
  }
  {
    MutexLock lock(mutex_);
    --running_;
    if (status_.ok()) {
      status_ = std::move(status);
    }
  }
  Pump();
}

void Call::Retry(Attempt attempt, Batch again) {
  attempt.batch = std::move(again);
  attempt.backoff = std::clamp(attempt.backoff * 2, kBackoffMin, kBackoffMax);
  Submit(std::move(attempt));
}

StoreCall::StoreCall(const CallContext& context, std::vector<PageRange> ranges, ByteView bytes,
                     SwapClient::PagesDone done)
    : Call(context, RequestKind::kStore, Lane::kPageOut, ranges),
      bytes_(bytes),
      codes_(TotalPages(ranges), PageCode::kUnavailable),
      done_(std::move(done)) {}

void StoreCall::Fill(const Batch& batch, Request* request) {
  request->bytes = batch.pages * kPageBytes;
  request->pages.reserve(batch.pages);
  ForEachSlot(batch, [&](Offset, uint64_t page, size_t) {
    request->pages.push_back(bytes_.subspan(page * kPageBytes).first<kPageBytes>());
  });
}

void StoreCall::Fail(const Batch& batch) { SetAll(batch, PageCode::kUnavailable, &codes_); }

void StoreCall::Take(const Batch& batch, const Answer& answer, int tries, bool last, Batch* again) {
  ForEachSlot(batch, [&](Offset offset, uint64_t page, size_t index) {
    const auto code = static_cast<PageCode>(answer.store.codes()[index]);
    const bool damaged = code == PageCode::kCorrupt && tries < kDamagedTriesMax;
    if ((damaged || code == PageCode::kUnavailable) && !last) {
      again->Add({{offset, 1}, page});
    }
    codes_[page] = code;
  });
}

void StoreCall::Finished(Status status) { done_({std::move(status), std::move(codes_)}); }

LoadCall::LoadCall(const CallContext& context, std::vector<PageRange> ranges,
                   std::span<std::byte> bytes, SwapClient::PagesDone done)
    : Call(context, RequestKind::kLoad, Lane::kDemand, ranges),
      bytes_(bytes),
      codes_(TotalPages(ranges), PageCode::kUnavailable),
      done_(std::move(done)) {}

void LoadCall::Fill(const Batch& batch, Request* request) {
  request->bytes = batch.pages * kPageBytes;
}

void LoadCall::Fail(const Batch& batch) { SetAll(batch, PageCode::kUnavailable, &codes_); }

void LoadCall::Take(const Batch& batch, const Answer& answer, int tries, bool last, Batch* again) {
  const v1::LoadResponse& load = answer.load;
  ByteView rest = answer.pages;
  ForEachSlot(batch, [&](Offset offset, uint64_t page, size_t index) {
    const auto i = static_cast<int>(index);
    const ByteView bytes = rest.first(load.lengths(i));
    rest = rest.subspan(bytes.size());
    auto code = static_cast<PageCode>(load.codes()[index]);
    bool retry = code == PageCode::kUnavailable && !last;
    const LoadedPage loaded{static_cast<Encoding>(load.encodings()[index]),
                            load.checksums(i),
                            {load.stamp_tokens(i), load.stamp_sequences(i)},
                            bytes};
    if (code == PageCode::kOk &&
        !DecodePage(context_.space, offset, loaded,
                    bytes_.subspan(page * kPageBytes).first<kPageBytes>())) {
      code = PageCode::kDataLoss;
      retry = tries < kDamagedTriesMax && !last;
    }
    if (retry) {
      again->Add({{offset, 1}, page});
    }
    codes_[page] = code;
  });
}

void LoadCall::Finished(Status status) { done_({std::move(status), std::move(codes_)}); }

PlainCall::PlainCall(const CallContext& context, RequestKind kind, std::vector<PageRange> ranges,
                     SwapClient::StatusDone done)
    : Call(context, kind, kind == RequestKind::kFree ? Lane::kPageOut : Lane::kPrefetch,
           std::move(ranges)),
      done_(std::move(done)) {}

ExtentsCall::ExtentsCall(const CallContext& context, PageRange range, SwapClient::RunsDone done)
    : Call(context, RequestKind::kExtents, Lane::kPrefetch, {range}), done_(std::move(done)) {}

void ExtentsCall::Take(const Batch& batch, const Answer& answer, int, bool, Batch*) {
  SwapClient::Runs runs;
  for (const v1::BackingRun& run : answer.extents.runs()) {
    runs.push_back({run.pages(), static_cast<BackingKind>(run.kind())});
  }
  MutexLock lock(mutex_);
  parts_[batch.pieces.front().page] = std::move(runs);
}

void ExtentsCall::Finished(Status status) {
  if (!status.ok()) {
    return done_(std::move(status));
  }
  SwapClient::Runs all;
  {
    MutexLock lock(mutex_);
    for (const auto& [page, runs] : parts_) {
      for (const SlotRun& run : runs) {
        if (!all.empty() && all.back().kind == run.kind) {
          all.back().pages += run.pages;
        } else {
          all.push_back(run);
        }
      }
    }
  }
  done_(std::move(all));
}

}  // namespace vswap::client
