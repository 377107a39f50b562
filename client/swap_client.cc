#include "client/swap_client.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <string>
#include <utility>

#include "client/allocate_call.h"
#include "client/call.h"
#include "client/call_counters.h"
#include "client/gate.h"
#include "client/range_lock.h"
#include "client/request_pool.h"
#include "client/session.h"
#include "client/shard_ring.h"
#include "services/common/thread_pool.h"

namespace vswap {

using client::Call;
using client::Operation;
using client::OperationContext;
using client::RangeLock;
using client::RequestKind;

namespace {

using Ranges = std::span<const PageRange>;

uint64_t TotalPages(Ranges ranges) {
  uint64_t pages = 0;
  for (const PageRange& range : ranges) {
    pages += range.pages;
  }
  return pages;
}

Status CheckBytes(Ranges ranges, size_t bytes) {
  const uint64_t wanted = TotalPages(ranges) * kPageBytes;
  return bytes == wanted ? Status()
                         : InvalidField("bytes", std::to_string(bytes) + " long",
                                        std::to_string(wanted) + ", as the ranges say");
}

// What is answered in memory of our own has a bound.
constexpr uint64_t kResultsMax = uint64_t{1} << 24;

Status CheckFolio(const PageRange& range) {
  if (!std::has_single_bit(range.pages) || range.pages > kBatchPagesMax) {
    return InvalidField("bytes", std::to_string(range.pages) + " pages long",
                        "2^order pages, order 0..9");
  }
  return range.offset % range.pages == 0
             ? Status()
             : InvalidField(
                   "offset", std::to_string(range.offset),
                   "multiples of " + std::to_string(range.pages) + ", as many as there are pages");
}

// A part of a page is seen by CheckBytes.
PageRange WholePages(Offset offset, size_t bytes) { return {offset, bytes / kPageBytes}; }

client::Outbox::Limits LimitsFor(const ClientOptions& options) {
  client::Outbox::Limits limits;
  if (options.pages_max < limits.bytes_max / kPageBytes) {
    limits.bytes_max = static_cast<size_t>(options.pages_max) * kPageBytes;
  }
  return limits;
}

// A thread that waits for its call.
class Waiter : public Operation::Finisher, public client::EventQueue::Waiter {
 public:
  explicit Waiter(client::EventQueue& events) : events_(events) {}
  void OnFinished() override { events_.Finish(*this); }

 private:
  client::EventQueue& events_;
};

}  // namespace

// Ties calls to what they need: room, the lock on their slots, the session.
class SwapClient::Impl {
 public:
  Impl(const ClientOptions& options, client::Attachment attachment)
      : options_(options),
        attachment_(std::move(attachment)),
        ring_(attachment_.space, attachment_.token, attachment_.space_pages,
              static_cast<uint32_t>(attachment_.map.epochs_size())),
        demand_(*this),
        bulk_(*this),
        session_(options_, attachment_, clock_, LimitsFor(options_)) {}

  uint64_t space_pages() const { return attachment_.space_pages; }
  SpaceKind space_kind() const { return attachment_.kind; }
  Duration patience() const { return options_.patience; }
  client::ShardRing& ring() { return ring_; }
  const OperationContext& ContextOf(RequestKind kind) { return LaneOf(kind).context; }

  Status Check(Ranges ranges, bool distinct) const {
    return client::ValidateRanges(ranges, attachment_.space_pages, distinct);
  }
  Status CheckMayBlock() const {
    return session_.OnThread() ? MakeError(StatusCode::kFailedPrecondition,
                                           "a blocking call was made from a callback")
                               : Status();
  }

  Status CheckAllocated() const {
    return attachment_.kind == SpaceKind::kAllocated
               ? Status()
               : MakeError(StatusCode::kFailedPrecondition,
                           "space " + options_.space + " is a device space");
  }

  // Lets the call in when there is room, and on when it is its turn. End follows when it has
  // finished, which may be before this returns.
  void Begin(Call& call) {
    LetIn(call);
    if (InOrder(call)) {
      range_lock_.Acquire(call.ranges(), ModeOf(call), call);
    } else {
      call.Start();
    }
  }
  void Begin(client::AllocateCall& call) {
    LetIn(call);
    call.Start();
  }
  void End(Call& call) {
    if (InOrder(call)) {
      range_lock_.Release(call);
    }
    LetOut(call);
  }
  void End(client::AllocateCall& call) { LetOut(call); }
  template <typename CallOfKind>
  void Await(CallOfKind& call, Waiter& waiter) {
    Begin(call);
    session_.events().Await(waiter);
    End(call);
  }

  client::EventQueue& events() { return session_.events(); }

  ClientStats stats() {
    ClientStats stats;
    counters_.Read(stats);
    session_.Read(stats);
    stats.in_flight_pages = demand_.gate.used() + bulk_.gate.used();
    return stats;
  }

  Status Close(Duration patience) {
    VSWAP_RETURN_IF_ERROR(CheckMayBlock());
    ClientOptions options = options_;
    options.patience = patience;
    const Status status = client::Detach(options, attachment_);
    session_.FailAll(MakeError(StatusCode::kFailedPrecondition, "the client is closed"));
    return status;
  }

 private:
  // Loads, and the rest: neither waits for the other's room.
  struct Lane {
    explicit Lane(Impl& impl)
        : gate(impl.options_.pages_max),
          pool(impl.options_.batches_max),
          context{impl.clock_,
                  impl.session_,
                  pool,
                  impl.attachment_.space,
                  static_cast<uint32_t>(impl.attachment_.map.epochs_size()),
                  impl.options_.patience} {}
    client::Gate gate;
    client::RequestPool pool;
    const OperationContext context;
  };

  Lane& LaneOf(RequestKind kind) { return kind == RequestKind::kLoad ? demand_ : bulk_; }
  void LetIn(Operation& call) {
    call.set_begun(clock_.Now());
    const bool may_wait = !session_.OnThread();
    Lane& lane = LaneOf(call.kind());
    lane.gate.Enter(RoomFor(call), may_wait);
    call.AddRoom(lane.pool.Take(may_wait));
  }
  void LetOut(const Operation& call) {
    LaneOf(call.kind()).gate.Leave(RoomFor(call));
    counters_.Count(call.kind(), call.pages(), clock_.Now() - call.begun(), call.status().ok());
  }
  static bool HasPages(const Operation& call) {
    return call.kind() == RequestKind::kLoad || call.kind() == RequestKind::kStore;
  }
  static uint64_t RoomFor(const Operation& call) { return HasPages(call) ? call.pages() : 1; }
  // Whether it keeps its place among the calls on the same slots.
  static bool InOrder(const Call& call) { return HasPages(call) || client::Changes(call.kind()); }
  static RangeLock::Mode ModeOf(const Call& call) {
    return client::Changes(call.kind()) ? RangeLock::Mode::kExclusive : RangeLock::Mode::kShared;
  }

  const ClientOptions options_;
  const client::Attachment attachment_;
  SteadyClock clock_;
  client::CallCounters counters_;
  RangeLock range_lock_;
  client::ShardRing ring_;
  Lane demand_;
  Lane bulk_;
  client::Session session_;  // last: its end runs callbacks that use the rest
};

namespace {

// An asynchronous call: what a thread that waits would have on its stack.
template <typename Impl, typename CallOfKind>
class Detached : public Operation::Finisher {
 public:
  using Done = std::function<void(Detached&)>;

  Detached(Impl& impl, std::vector<PageRange> ranges, size_t codes, Done done)
      : ranges_(std::move(ranges)), codes_(codes), impl_(impl), done_(std::move(done)) {}

  Ranges ranges() const { return ranges_; }
  CallOfKind& call() { return *call_; }
  std::vector<PageCode>& codes() { return codes_; }

  template <typename... Arguments>
  void Run(Arguments&&... arguments) {
    call_.emplace(std::forward<Arguments>(arguments)..., *this);
    impl_.events().Hold();
    impl_.Begin(*call_);  // may be the end of this
  }

 private:
  // As an event in any case: a callback may begin calls, and must not wait for room that the thread
  // it runs on has to give.
  void OnFinished() override {
    if (impl_.events().OnThread()) {
      Conclude();
    } else {
      impl_.events().Post([this] { Conclude(); });
    }
  }
  void Conclude() {
    impl_.End(*call_);
    impl_.events().Unhold();
    done_(*this);
    delete this;
  }

  const std::vector<PageRange> ranges_;
  std::vector<PageCode> codes_;
  Impl& impl_;
  const Done done_;
  std::optional<CallOfKind> call_;
};

}  // namespace

StatusOr<std::unique_ptr<SwapClient>> SwapClient::Open(const ClientOptions& options) {
  VSWAP_RETURN_IF_ERROR(Validate(options));
  StatusOr<client::Attachment> attachment = client::Attach(options);
  if (!attachment.ok()) {
    return attachment.status();
  }
  return std::unique_ptr<SwapClient>(
      new SwapClient(std::make_unique<Impl>(options, *std::move(attachment))));
}

SwapClient::SwapClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SwapClient::~SwapClient() = default;

uint64_t SwapClient::space_pages() const { return impl_->space_pages(); }
SpaceKind SwapClient::space_kind() const { return impl_->space_kind(); }
Duration SwapClient::patience() const { return impl_->patience(); }
ClientStats SwapClient::stats() const { return impl_->stats(); }

namespace {

// Of a store or load.
template <typename Impl>
Status CheckPages(Impl& impl, RequestKind kind, Ranges ranges, size_t bytes) {
  VSWAP_RETURN_IF_ERROR(impl.Check(ranges, kind == RequestKind::kStore));
  return CheckBytes(ranges, bytes);
}

// Of a store or load of one folio as one piece.
template <typename Impl>
Status CheckFolioPages(Impl& impl, RequestKind kind, const PageRange& range, size_t bytes) {
  VSWAP_RETURN_IF_ERROR(CheckPages(impl, kind, {&range, 1}, bytes));
  return CheckFolio(range);
}

template <typename Impl>
Status CheckDuplicate(Impl& impl, Ranges ranges) {
  VSWAP_RETURN_IF_ERROR(impl.CheckAllocated());
  VSWAP_RETURN_IF_ERROR(impl.Check(ranges, true));
  const uint64_t pages = TotalPages(ranges);
  return pages <= kResultsMax ? Status()
                              : InvalidField("ranges", std::to_string(pages) + " pages together",
                                             "1.." + std::to_string(kResultsMax));
}

template <typename Impl>
Status CheckAllocate(Impl& impl, uint32_t order, uint64_t count) {
  VSWAP_RETURN_IF_ERROR(impl.CheckAllocated());
  if (order > kOrderMax) {
    return InvalidField("order", std::to_string(order), "0.." + std::to_string(kOrderMax));
  }
  return count >= 1 && count <= kResultsMax
             ? Status()
             : InvalidField("count", std::to_string(count), "1.." + std::to_string(kResultsMax));
}

template <typename CallOfKind, typename Impl, typename Bytes>
void BeginPages(Impl& impl, RequestKind kind, std::vector<PageRange> ranges, Bytes bytes,
                SwapClient::PagesDone done) {
  if (Status status = CheckPages(impl, kind, ranges, bytes.size()); !status.ok()) {
    return done({std::move(status), {}});
  }
  using Async = Detached<Impl, CallOfKind>;
  const size_t pages = bytes.size() / kPageBytes;
  auto* const async = new Async(impl, std::move(ranges), pages, [done](Async& self) {
    done({self.call().status(), std::move(self.codes())});
  });
  async->Run(impl.ContextOf(kind), async->ranges(), bytes, std::span(async->codes()));
}

template <typename CallOfKind, typename Impl, typename Bytes>
void BeginFolio(Impl& impl, RequestKind kind, Offset offset, Bytes bytes,
                SwapClient::PagesDone done) {
  const PageRange range = WholePages(offset, bytes.size());
  if (Status status = CheckFolioPages(impl, kind, range, bytes.size()); !status.ok()) {
    return done({std::move(status), {}});
  }
  BeginPages<CallOfKind>(impl, kind, {range}, bytes, std::move(done));
}

// `result`: of the finished call, for `done`.
template <typename Impl, typename Done, typename Result>
void BeginPlain(Impl& impl, RequestKind kind, std::vector<PageRange> ranges, Done done,
                Result result) {
  if (Status status = impl.Check(ranges, kind == RequestKind::kFree); !status.ok()) {
    return done(std::move(status));
  }
  using Async = Detached<Impl, client::PlainCall>;
  auto* const async = new Async(impl, std::move(ranges), 0,
                                [done, result](Async& self) { done(result(self.call())); });
  async->Run(impl.ContextOf(kind), kind, async->ranges());
}

template <typename CallOfKind, typename Impl, typename Bytes>
Status AwaitPages(Impl& impl, RequestKind kind, Ranges ranges, Bytes bytes,
                  std::span<PageCode> codes) {
  Waiter waiter(impl.events());
  CallOfKind call(impl.ContextOf(kind), ranges, bytes, codes, waiter);
  impl.Await(call, waiter);
  return call.status();
}

template <typename CallOfKind, typename Impl, typename Bytes>
PagesResult ResultOfPages(Impl& impl, RequestKind kind, Ranges ranges, Bytes bytes) {
  PagesResult result;
  result.status = impl.CheckMayBlock();
  if (result.status.ok()) {
    result.status = CheckPages(impl, kind, ranges, bytes.size());
  }
  if (result.status.ok()) {
    result.codes.resize(bytes.size() / kPageBytes);
    result.status = AwaitPages<CallOfKind>(impl, kind, ranges, bytes, std::span(result.codes));
  }
  return result;
}

template <typename CallOfKind, typename Impl, typename Bytes>
PagesResult ResultOfFolio(Impl& impl, RequestKind kind, Offset offset, Bytes bytes) {
  const PageRange range = WholePages(offset, bytes.size());
  if (Status status = CheckFolioPages(impl, kind, range, bytes.size()); !status.ok()) {
    return {std::move(status), {}};
  }
  return ResultOfPages<CallOfKind>(impl, kind, {&range, 1}, bytes);
}

template <typename CallOfKind, typename Impl, typename Bytes>
Status CodesOfPages(Impl& impl, RequestKind kind, Offset offset, Bytes bytes,
                    std::span<PageCode> codes) {
  const PageRange range = WholePages(offset, bytes.size());
  VSWAP_RETURN_IF_ERROR(impl.CheckMayBlock());
  VSWAP_RETURN_IF_ERROR(CheckPages(impl, kind, {&range, 1}, bytes.size()));
  if (codes.size() != range.pages) {
    return InvalidField("codes", std::to_string(codes.size()) + " long",
                        std::to_string(range.pages) + ", as many as pages");
  }
  return AwaitPages<CallOfKind>(impl, kind, {&range, 1}, bytes, codes);
}

Status StatusOf(const client::PlainCall& call) { return call.status(); }
StatusOr<uint64_t> FreedBy(const client::PlainCall& call) {
  return call.status().ok() ? StatusOr<uint64_t>(call.freed_pages()) : call.status();
}

template <typename Impl, typename Result>
auto AwaitPlain(Impl& impl, RequestKind kind, Ranges ranges, Result result)
    -> decltype(result(std::declval<const client::PlainCall&>())) {
  VSWAP_RETURN_IF_ERROR(impl.CheckMayBlock());
  VSWAP_RETURN_IF_ERROR(impl.Check(ranges, kind == RequestKind::kFree));
  Waiter waiter(impl.events());
  client::PlainCall call(impl.ContextOf(kind), kind, ranges, waiter);
  impl.Await(call, waiter);
  return result(call);
}

template <typename Impl>
PagesResult AwaitDuplicate(Impl& impl, Ranges ranges) {
  PagesResult result;
  result.status = impl.CheckMayBlock();
  if (result.status.ok()) {
    result.status = CheckDuplicate(impl, ranges);
  }
  if (result.status.ok()) {
    result.codes.resize(TotalPages(ranges));
    Waiter waiter(impl.events());
    client::DuplicateCall call(impl.ContextOf(RequestKind::kDuplicate), ranges,
                               std::span(result.codes), waiter);
    impl.Await(call, waiter);
    result.status = call.status();
  }
  return result;
}

StatusOr<std::vector<PageRange>> RangesOf(client::AllocateCall& call) {
  return call.status().ok() ? StatusOr<std::vector<PageRange>>(call.TakeRanges()) : call.status();
}

StatusOr<SwapClient::Runs> RunsOf(client::ExtentsCall& call) {
  return call.status().ok() ? StatusOr<SwapClient::Runs>(call.TakeRuns()) : call.status();
}
StatusOr<SlotRun> FirstRunOf(client::ExtentsCall& call) {
  return call.status().ok() ? StatusOr<SlotRun>(call.FirstRun()) : call.status();
}

// As far as one request can tell. What is past the space's end is for the check.
PageRange WithinStripe(PageRange range, uint64_t space_pages) {
  if (range.offset < space_pages && range.pages <= space_pages - range.offset) {
    range.pages = std::min(range.pages, kStripePages - range.offset % kStripePages);
  }
  return range;
}

template <typename Impl, typename Result>
auto AwaitExtents(Impl& impl, const PageRange& range, Result result)
    -> decltype(result(std::declval<client::ExtentsCall&>())) {
  VSWAP_RETURN_IF_ERROR(impl.CheckMayBlock());
  VSWAP_RETURN_IF_ERROR(impl.Check({&range, 1}, false));
  Waiter waiter(impl.events());
  client::ExtentsCall call(impl.ContextOf(RequestKind::kExtents), {&range, 1}, waiter);
  impl.Await(call, waiter);
  return result(call);
}

template <typename Impl, typename Done, typename Result>
void BeginExtents(Impl& impl, const PageRange& range, Done done, Result result) {
  if (Status status = impl.Check({&range, 1}, false); !status.ok()) {
    return done(std::move(status));
  }
  using Async = Detached<Impl, client::ExtentsCall>;
  auto* const async =
      new Async(impl, {range}, 0, [done, result](Async& self) { done(result(self.call())); });
  async->Run(impl.ContextOf(RequestKind::kExtents), async->ranges());
}

}  // namespace

void SwapClient::StoreAsync(std::vector<PageRange> ranges, ByteView bytes, PagesDone done) {
  BeginPages<client::StoreCall>(*impl_, RequestKind::kStore, std::move(ranges), bytes,
                                std::move(done));
}

void SwapClient::LoadAsync(std::vector<PageRange> ranges, std::span<std::byte> bytes,
                           PagesDone done) {
  BeginPages<client::LoadCall>(*impl_, RequestKind::kLoad, std::move(ranges), bytes,
                               std::move(done));
}

void SwapClient::FreeAsync(std::vector<PageRange> ranges, StatusDone done) {
  BeginPlain(*impl_, RequestKind::kFree, std::move(ranges), std::move(done), StatusOf);
}

void SwapClient::FreeCountedAsync(std::vector<PageRange> ranges, CountDone done) {
  BeginPlain(*impl_, RequestKind::kFree, std::move(ranges), std::move(done), FreedBy);
}

void SwapClient::StoreWholeAsync(Offset offset, ByteView bytes, PagesDone done) {
  BeginFolio<client::WholeStoreCall>(*impl_, RequestKind::kStore, offset, bytes, std::move(done));
}

void SwapClient::LoadUnmixedAsync(Offset offset, std::span<std::byte> bytes, PagesDone done) {
  BeginFolio<client::UnmixedLoadCall>(*impl_, RequestKind::kLoad, offset, bytes, std::move(done));
}

void SwapClient::AllocateAsync(uint32_t order, uint64_t count, RangesDone done) {
  if (Status status = CheckAllocate(*impl_, order, count); !status.ok()) {
    return done(std::move(status));
  }
  using Async = Detached<Impl, client::AllocateCall>;
  auto* const async =
      new Async(*impl_, {}, 0, [done](Async& self) { done(RangesOf(self.call())); });
  async->Run(impl_->ContextOf(RequestKind::kAllocate), impl_->ring(),
             client::AllocateCall::Wish{order, count});
}

void SwapClient::DuplicateAsync(std::vector<PageRange> ranges, PagesDone done) {
  if (Status status = CheckDuplicate(*impl_, ranges); !status.ok()) {
    return done({std::move(status), {}});
  }
  using Async = Detached<Impl, client::DuplicateCall>;
  const uint64_t pages = TotalPages(ranges);
  auto* const async = new Async(*impl_, std::move(ranges), pages, [done](Async& self) {
    done({self.call().status(), std::move(self.codes())});
  });
  async->Run(impl_->ContextOf(RequestKind::kDuplicate), async->ranges(), std::span(async->codes()));
}

void SwapClient::PrefetchAsync(std::vector<PageRange> ranges, StatusDone done) {
  BeginPlain(*impl_, RequestKind::kPrefetch, std::move(ranges), std::move(done), StatusOf);
}

void SwapClient::ExtentsAsync(PageRange range, RunsDone done) {
  BeginExtents(*impl_, range, std::move(done), RunsOf);
}

void SwapClient::BackingAsync(PageRange range, BackingDone done) {
  BeginExtents(*impl_, WithinStripe(range, space_pages()), std::move(done), FirstRunOf);
}

PagesResult SwapClient::Store(Offset offset, ByteView bytes) {
  return Store({WholePages(offset, bytes.size())}, bytes);
}

PagesResult SwapClient::Store(const std::vector<PageRange>& ranges, ByteView bytes) {
  return ResultOfPages<client::StoreCall>(*impl_, RequestKind::kStore, ranges, bytes);
}

Status SwapClient::Store(Offset offset, ByteView bytes, std::span<PageCode> codes) {
  return CodesOfPages<client::StoreCall>(*impl_, RequestKind::kStore, offset, bytes, codes);
}

PagesResult SwapClient::Load(Offset offset, std::span<std::byte> bytes) {
  return Load({WholePages(offset, bytes.size())}, bytes);
}

PagesResult SwapClient::Load(const std::vector<PageRange>& ranges, std::span<std::byte> bytes) {
  return ResultOfPages<client::LoadCall>(*impl_, RequestKind::kLoad, ranges, bytes);
}

Status SwapClient::Load(Offset offset, std::span<std::byte> bytes, std::span<PageCode> codes) {
  return CodesOfPages<client::LoadCall>(*impl_, RequestKind::kLoad, offset, bytes, codes);
}

PagesResult SwapClient::StoreWhole(Offset offset, ByteView bytes) {
  return ResultOfFolio<client::WholeStoreCall>(*impl_, RequestKind::kStore, offset, bytes);
}

PagesResult SwapClient::LoadUnmixed(Offset offset, std::span<std::byte> bytes) {
  return ResultOfFolio<client::UnmixedLoadCall>(*impl_, RequestKind::kLoad, offset, bytes);
}

StatusOr<std::vector<PageRange>> SwapClient::Allocate(uint32_t order, uint64_t count) {
  VSWAP_RETURN_IF_ERROR(impl_->CheckMayBlock());
  VSWAP_RETURN_IF_ERROR(CheckAllocate(*impl_, order, count));
  Waiter waiter(impl_->events());
  client::AllocateCall call(impl_->ContextOf(RequestKind::kAllocate), impl_->ring(), {order, count},
                            waiter);
  impl_->Await(call, waiter);
  return RangesOf(call);
}

PagesResult SwapClient::Duplicate(Offset offset, uint64_t pages) {
  const PageRange range{offset, pages};
  return AwaitDuplicate(*impl_, {&range, 1});
}

PagesResult SwapClient::Duplicate(const std::vector<PageRange>& ranges) {
  return AwaitDuplicate(*impl_, ranges);
}

Status SwapClient::Free(Offset offset, uint64_t pages) {
  const PageRange range{offset, pages};
  return AwaitPlain(*impl_, RequestKind::kFree, {&range, 1}, StatusOf);
}

Status SwapClient::Free(const std::vector<PageRange>& ranges) {
  return AwaitPlain(*impl_, RequestKind::kFree, ranges, StatusOf);
}

StatusOr<uint64_t> SwapClient::FreeCounted(const std::vector<PageRange>& ranges) {
  return AwaitPlain(*impl_, RequestKind::kFree, ranges, FreedBy);
}

Status SwapClient::Prefetch(Offset offset, uint64_t pages) {
  const PageRange range{offset, pages};
  return AwaitPlain(*impl_, RequestKind::kPrefetch, {&range, 1}, StatusOf);
}

StatusOr<SwapClient::Runs> SwapClient::Extents(Offset offset, uint64_t pages) {
  return AwaitExtents(*impl_, {offset, pages}, RunsOf);
}

StatusOr<SlotRun> SwapClient::Backing(Offset offset, uint64_t pages) {
  return AwaitExtents(*impl_, WithinStripe({offset, pages}, space_pages()), FirstRunOf);
}

Status SwapClient::Close(Duration patience) { return impl_->Close(patience); }

}  // namespace vswap
