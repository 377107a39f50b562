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
      return {kStripePages, Request::kPiecesMax};
    case RequestKind::kExtents:
      return {kStripePages, 1};
    default:
      return {kBatchPagesMax, Request::kPiecesMax};
  }
}

void SetAll(const Request& request, PageCode code, std::span<PageCode> codes) {
  ForEachSlot(request, [&](Offset, uint64_t page, size_t) { codes[page] = code; });
}

}  // namespace

Call::Call(const OperationContext& context, RequestKind kind, Lane lane,
           std::span<const PageRange> ranges, Finisher& finisher)
    : Operation(context, kind, finisher),
      lane_(lane),
      ranges_(ranges),
      batcher_(context.space, context.shard_count, BatchLimits(kind), ranges, context.pool) {}

uint64_t Call::pages() const {
  uint64_t pages = 0;
  for (const PageRange& range : ranges_) {
    pages += range.pages;
  }
  return pages;
}

void Call::AddRoom(Request& request) {
  MutexLock lock(mutex_);
  batcher_.AddRoom(request);
}

Request* Call::NextBatch() {
  // After a failure the rest is not begun: the caller learns of it sooner, and its pages keep code
  // kUnavailable.
  const bool may = !batcher_.done() && running_ < kBatchesMax && status_.ok();
  Request* const request = may ? batcher_.Next() : nullptr;
  running_ += request != nullptr;
  return request;
}

void Call::Start() {
  {
    MutexLock lock(mutex_);
    pumping_ = true;
  }
  Pump();
}

void Call::Pump() {
  Status result;
  while (true) {
    Request* request = nullptr;
    {
      MutexLock lock(mutex_);
      request = NextBatch();
      if (request == nullptr) {
        pumping_ = false;
        if (running_ > 0) {
          return;  // the answer to the last of them goes on
        }
        result = std::move(status_);
        break;
      }
    }
    request->call_deadline = context_.clock.Now() + context_.patience;
    Submit(*request);
  }
  Finish(std::move(result));
}

void Call::Submit(Request& request) {
  request.owner = this;
  request.kind = kind();
  request.lane = lane_;
  const TimePoint now = context_.clock.Now();
  request.not_before = now + request.call_backoff;
  request.patience = request.call_deadline - now;
  ++request.tries;
  Fill(request);
  context_.sink.Submit(request);
}

void Call::OnAnswer(Request& request, const Answer& answer) {
  Status status = answer.status;
  if (status.ok()) {
    status = CheckAnswer(request, answer);
  }
  if (status.ok()) {
    const bool last = context_.clock.Now() + request.call_backoff * 2 >= request.call_deadline;
    Again again(request);
    Take(request, answer, last, again);
    if (!again.pieces().empty()) {
      return Retry(request, again.pieces());
    }
  } else {
    Fail(request);
  }
  {
    MutexLock lock(mutex_);
    --running_;
    if (status_.ok()) {
      status_ = std::move(status);
    }
    batcher_.AddRoom(request);
    if (pumping_) {
      return;  // that thread looks again, and may end the call: it must not be touched any more
    }
    pumping_ = true;
  }
  Pump();
}

void Call::Retry(Request& request, const Pieces& again) {
  request.call_backoff = std::clamp(request.call_backoff * 2, kBackoffMin, kBackoffMax);
  request.Renew();
  if (&again != &request.pieces) {
    request.pieces.clear();
    request.pages = 0;
    for (const Piece& piece : again) {
      request.Add(piece);
    }
  }
  Submit(request);
}

StoreCall::StoreCall(const OperationContext& context, std::span<const PageRange> ranges,
                     ByteView bytes, std::span<PageCode> codes, Finisher& finisher)
    : Call(context, RequestKind::kStore, Lane::kPageOut, ranges, finisher),
      bytes_(bytes),
      codes_(codes) {
  std::ranges::fill(codes_, PageCode::kUnavailable);
}

void StoreCall::Fill(Request& request) {
  request.bytes = bytes_.data();
  request.page_bytes = request.pages * kPageBytes;
}

void StoreCall::Fail(const Request& request) { SetAll(request, PageCode::kUnavailable, codes_); }

void StoreCall::Take(const Request& request, const Answer& answer, bool last, Again& again) {
  ForEachSlot(request, [&](Offset offset, uint64_t page, size_t index) {
    const PageCode code = answer.codes[index];
    const bool damaged = code == PageCode::kCorrupt && request.tries < kDamagedTriesMax;
    if ((damaged || code == PageCode::kUnavailable) && !last) {
      again.Add(offset, page);
    }
    codes_[page] = code;
  });
}

void WholeStoreCall::Fill(Request& request) {
  StoreCall::Fill(request);
  request.whole = true;
}

void WholeStoreCall::Take(const Request& request, const Answer& answer, bool last, Again& again) {
  StoreCall::Take(request, answer, last, again);
  again.AllIfAny();
}

LoadCall::LoadCall(const OperationContext& context, std::span<const PageRange> ranges,
                   std::span<std::byte> bytes, std::span<PageCode> codes, Finisher& finisher)
    : Call(context, RequestKind::kLoad, Lane::kDemand, ranges, finisher),
      bytes_(bytes),
      codes_(codes) {
  std::ranges::fill(codes_, PageCode::kUnavailable);
}

void LoadCall::Fill(Request& request) { request.page_bytes = request.pages * kPageBytes; }

void LoadCall::Fail(const Request& request) { SetAll(request, PageCode::kUnavailable, codes_); }

void LoadCall::Take(const Request& request, const Answer& answer, bool last, Again& again) {
  ByteView rest = answer.pages;
  ForEachSlot(request, [&](Offset offset, uint64_t page, size_t i) {
    const ByteView bytes = rest.first(answer.lengths[i]);
    rest = rest.subspan(bytes.size());
    PageCode code = answer.codes[i];
    bool retry = code == PageCode::kUnavailable && !last;
    const LoadedPage loaded{answer.encodings[i],
                            answer.checksums[i],
                            {answer.stamp_tokens[i], answer.stamp_sequences[i]},
                            bytes};
    if (code == PageCode::kOk &&
        !DecodePage(context_.space, offset, loaded,
                    bytes_.subspan(page * kPageBytes).first<kPageBytes>())) {
      code = PageCode::kDataLoss;
      retry = request.tries < kDamagedTriesMax && !last;
    }
    if (retry) {
      again.Add(offset, page);
    }
    codes_[page] = code;
  });
}

void UnmixedLoadCall::Fill(Request& request) {
  LoadCall::Fill(request);
  request.unmixed = true;
}

void UnmixedLoadCall::Take(const Request& request, const Answer& answer, bool last, Again& again) {
  LoadCall::Take(request, answer, last, again);
  again.AllIfAny();
}

DuplicateCall::DuplicateCall(const OperationContext& context, std::span<const PageRange> ranges,
                             std::span<PageCode> codes, Finisher& finisher)
    : Call(context, RequestKind::kDuplicate, Lane::kPageOut, ranges, finisher), codes_(codes) {
  std::ranges::fill(codes_, PageCode::kUnavailable);
}

void DuplicateCall::Fail(const Request& request) {
  SetAll(request, PageCode::kUnavailable, codes_);
}

void DuplicateCall::Take(const Request& request, const Answer& answer, bool, Again&) {
  ForEachSlot(request,
              [&](Offset, uint64_t page, size_t index) { codes_[page] = answer.codes[index]; });
}

PlainCall::PlainCall(const OperationContext& context, RequestKind kind,
                     std::span<const PageRange> ranges, Finisher& finisher)
    : Call(context, kind, kind == RequestKind::kFree ? Lane::kPageOut : Lane::kPrefetch, ranges,
           finisher) {}

ExtentsCall::ExtentsCall(const OperationContext& context, std::span<const PageRange> ranges,
                         Finisher& finisher)
    : Call(context, RequestKind::kExtents, Lane::kPrefetch, ranges, finisher) {}

void ExtentsCall::Take(const Request& request, const Answer& answer, bool, Again&) {
  SwapClient::Runs runs;
  for (const v1::BackingRun& run : answer.extents.runs()) {
    runs.push_back({run.pages(), static_cast<BackingKind>(run.kind())});
  }
  MutexLock lock(parts_mutex_);
  parts_[request.pieces.front().page] = std::move(runs);
}

SlotRun ExtentsCall::FirstRun() {
  MutexLock lock(parts_mutex_);
  return parts_.begin()->second.front();
}

SwapClient::Runs ExtentsCall::TakeRuns() {
  SwapClient::Runs all;
  MutexLock lock(parts_mutex_);
  for (const auto& [page, runs] : parts_) {
    for (const SlotRun& run : runs) {
      if (!all.empty() && all.back().kind == run.kind) {
        all.back().pages += run.pages;
      } else {
        all.push_back(run);
      }
    }
  }
  return all;
}

}  // namespace vswap::client
