#include "client/swap_client.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "client/call.h"
#include "client/call_counters.h"
#include "client/gate.h"
#include "client/range_lock.h"
#include "client/request_pool.h"
#include "client/session.h"
#include "services/common/thread_pool.h"

namespace vswap {

using client::Call;
using client::CallContext;
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
class Waiter : public Call::Finisher, public client::EventQueue::Waiter {
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
        demand_(*this),
        bulk_(*this),
        session_(options_, attachment_, clock_, LimitsFor(options_)) {}

  uint64_t space_pages() const { return attachment_.space_pages; }
  Duration patience() const { return options_.patience; }
  const CallContext& ContextOf(RequestKind kind) { return LaneOf(kind).context; }

  Status Check(Ranges ranges, bool distinct) const {
    return client::ValidateRanges(ranges, attachment_.space_pages, distinct);
  }
  Status CheckMayBlock() const {
    return session_.OnThread() ? MakeError(StatusCode::kFailedPrecondition,
                                           "a blocking call was made from a callback")
                               : Status();
  }

  // Lets the call in when there is room, and on when it is its turn. End follows when it has
  // finished, which may be before this returns.
  void Begin(Call& call) {
    call.set_begun(clock_.Now());
    const bool may_wait = !session_.OnThread();
    Lane& lane = LaneOf(call.kind());
    lane.gate.Enter(RoomFor(call), may_wait);
    call.AddRoom(lane.pool.Take(may_wait));
    if (InOrder(call)) {
      range_lock_.Acquire(call.ranges(), ModeOf(call), call);
    } else {
      call.Start();
    }
  }
  void End(Call& call) {
    if (InOrder(call)) {
      range_lock_.Release(call);
    }
    LaneOf(call.kind()).gate.Leave(RoomFor(call));
    counters_.Count(call.kind(), TotalPages(call.ranges()), clock_.Now() - call.begun(),
                    call.status().ok());
  }
  void Await(Call& call, Waiter& waiter) {
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
                  static_cast<uint32_t>(impl.attachment_.epochs.size()),
                  impl.options_.patience} {}
    client::Gate gate;
    client::RequestPool pool;
    const CallContext context;
  };

  Lane& LaneOf(RequestKind kind) { return kind == RequestKind::kLoad ? demand_ : bulk_; }
  static bool HasPages(const Call& call) {
    return call.kind() == RequestKind::kLoad || call.kind() == RequestKind::kStore;
  }
  static uint64_t RoomFor(const Call& call) {
    return HasPages(call) ? TotalPages(call.ranges()) : 1;
  }
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
  Lane demand_;
  Lane bulk_;
  client::Session session_;  // last: its end runs callbacks that use the rest
};

namespace {

// An asynchronous call: what a thread that waits would have on its stack.
template <typename Impl, typename CallOfKind>
class Detached : public Call::Finisher {
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
  void OnFinished() override {
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
Duration SwapClient::patience() const { return impl_->patience(); }
ClientStats SwapClient::stats() const { return impl_->stats(); }

namespace {

// Of a store or load.
template <typename Impl>
Status CheckPages(Impl& impl, RequestKind kind, Ranges ranges, size_t bytes) {
  VSWAP_RETURN_IF_ERROR(impl.Check(ranges, kind == RequestKind::kStore));
  return CheckBytes(ranges, bytes);
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

template <typename Impl>
void BeginPlain(Impl& impl, RequestKind kind, std::vector<PageRange> ranges,
                SwapClient::StatusDone done) {
  if (Status status = impl.Check(ranges, kind == RequestKind::kFree); !status.ok()) {
    return done(std::move(status));
  }
  using Async = Detached<Impl, client::PlainCall>;
  auto* const async =
      new Async(impl, std::move(ranges), 0, [done](Async& self) { done(self.call().status()); });
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

template <typename Impl>
Status AwaitPlain(Impl& impl, RequestKind kind, Ranges ranges) {
  VSWAP_RETURN_IF_ERROR(impl.CheckMayBlock());
  VSWAP_RETURN_IF_ERROR(impl.Check(ranges, kind == RequestKind::kFree));
  Waiter waiter(impl.events());
  client::PlainCall call(impl.ContextOf(kind), kind, ranges, waiter);
  impl.Await(call, waiter);
  return call.status();
}

StatusOr<SwapClient::Runs> RunsOf(client::ExtentsCall& call) {
  return call.status().ok() ? StatusOr<SwapClient::Runs>(call.TakeRuns()) : call.status();
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
  BeginPlain(*impl_, RequestKind::kFree, std::move(ranges), std::move(done));
}

void SwapClient::PrefetchAsync(std::vector<PageRange> ranges, StatusDone done) {
  BeginPlain(*impl_, RequestKind::kPrefetch, std::move(ranges), std::move(done));
}

void SwapClient::ExtentsAsync(PageRange range, RunsDone done) {
  if (Status status = impl_->Check({&range, 1}, false); !status.ok()) {
    return done(std::move(status));
  }
  using Async = Detached<Impl, client::ExtentsCall>;
  auto* const async =
      new Async(*impl_, {range}, 0, [done](Async& self) { done(RunsOf(self.call())); });
  async->Run(impl_->ContextOf(RequestKind::kExtents), async->ranges());
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

Status SwapClient::Free(Offset offset, uint64_t pages) {
  const PageRange range{offset, pages};
  return AwaitPlain(*impl_, RequestKind::kFree, {&range, 1});
}

Status SwapClient::Free(const std::vector<PageRange>& ranges) {
  return AwaitPlain(*impl_, RequestKind::kFree, ranges);
}

Status SwapClient::Prefetch(Offset offset, uint64_t pages) {
  const PageRange range{offset, pages};
  return AwaitPlain(*impl_, RequestKind::kPrefetch, {&range, 1});
}

StatusOr<SwapClient::Runs> SwapClient::Extents(Offset offset, uint64_t pages) {
  const PageRange range{offset, pages};
  VSWAP_RETURN_IF_ERROR(impl_->CheckMayBlock());
  VSWAP_RETURN_IF_ERROR(impl_->Check({&range, 1}, false));
  Waiter waiter(impl_->events());
  client::ExtentsCall call(impl_->ContextOf(RequestKind::kExtents), {&range, 1}, waiter);
  impl_->Await(call, waiter);
  return RunsOf(call);
}

Status SwapClient::Close(Duration patience) { return impl_->Close(patience); }

}  // namespace vswap
