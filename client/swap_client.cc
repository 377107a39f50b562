#include "client/swap_client.h"

#include <future>
#include <string>
#include <utility>

#include "client/call.h"
#include "client/gate.h"
#include "client/range_lock.h"
#include "client/session.h"
#include "services/common/thread_pool.h"

namespace vswap {

using client::Call;
using client::CallContext;
using client::RangeLock;
using client::RequestKind;

namespace {

uint64_t TotalPages(const std::vector<PageRange>& ranges) {
  uint64_t pages = 0;
  for (const PageRange& range : ranges) {
    pages += range.pages;
  }
  return pages;
}

Status CheckBytes(const std::vector<PageRange>& ranges, size_t bytes) {
  const uint64_t wanted = TotalPages(ranges) * kPageBytes;
  return bytes == wanted ? Status()
                         : InvalidField("bytes", std::to_string(bytes) + " long",
                                        std::to_string(wanted) + ", as the ranges say");
}

std::vector<PageRange> WholePages(Offset offset, size_t bytes) {
  // A part of a page is seen by CheckBytes.
  return {{offset, bytes / kPageBytes}};
}

}  // namespace

// Ties calls to what they need: room, the lock on their slots, the session.
class SwapClient::Impl {
 public:
  Impl(const ClientOptions& options, client::Attachment attachment)
      : options_(options),
        attachment_(std::move(attachment)),
        demand_(options.pages_max),
        bulk_(options.pages_max),
        session_(options_, attachment_, clock_) {}

  uint64_t space_pages() const { return attachment_.space_pages; }
  CallContext context() {
    return {clock_, session_, attachment_.space, static_cast<uint32_t>(attachment_.epochs.size()),
            options_.patience};
  }

  Status Check(const std::vector<PageRange>& ranges, bool distinct) const {
    return client::ValidateRanges(ranges, attachment_.space_pages, distinct);
  }
  Status CheckMayBlock() const {
    return session_.OnThread() ? MakeError(StatusCode::kFailedPrecondition,
                                           "a blocking call was made from a callback")
                               : Status();
  }

  // Runs the call that `make` makes from its completion, when it is its turn. What `done` takes is
  // passed through it.
  template <typename Result, typename Make>
  void Run(RequestKind kind, std::vector<PageRange> ranges, std::function<void(Result)> done,
           Make make) {
    const bool load = kind == RequestKind::kLoad;
    client::Gate& gate = load ? demand_ : bulk_;
    const uint64_t amount = load || kind == RequestKind::kStore ? TotalPages(ranges) : 1;
    gate.Enter(amount, !session_.OnThread());
    if (!load && !client::Changes(kind)) {
      make([&gate, amount, done = std::move(done)](Result result) {
        gate.Leave(amount);
        done(std::move(result));
      })->Start();
      return;
    }
    const auto ticket = std::make_shared<RangeLock::TicketPtr>();
    std::shared_ptr<Call> call =
        make([this, &gate, amount, ticket, done = std::move(done)](Result result) {
          range_lock_.Release(*ticket);
          gate.Leave(amount);
          done(std::move(result));
        });
    range_lock_.Acquire(std::move(ranges),
                        load ? RangeLock::Mode::kShared : RangeLock::Mode::kExclusive, ticket.get(),
                        [call = std::move(call)] { call->Start(); });
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
  const ClientOptions options_;
  const client::Attachment attachment_;
  SteadyClock clock_;
  client::Gate demand_;
  client::Gate bulk_;
  RangeLock range_lock_;
  client::Session session_;  // last: its end runs callbacks that use the rest
};

namespace {

// Waits for what an asynchronous call gives to its callback.
template <typename Result, typename Begin>
Result Wait(Begin begin) {
  // Shared: the waiter may be gone before set_value has returned.
  const auto promise = std::make_shared<std::promise<Result>>();
  std::future<Result> future = promise->get_future();
  begin([promise](Result result) { promise->set_value(std::move(result)); });
  return future.get();
}

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
Duration SwapClient::patience() const { return impl_->context().patience; }

void SwapClient::StoreAsync(std::vector<PageRange> ranges, ByteView bytes, PagesDone done) {
  Status status = impl_->Check(ranges, true);
  if (status.ok()) {
    status = CheckBytes(ranges, bytes.size());
  }
  if (!status.ok()) {
    return done({std::move(status), {}});
  }
  impl_->Run<PagesResult>(RequestKind::kStore, ranges, std::move(done), [&](PagesDone finish) {
    return std::make_shared<client::StoreCall>(impl_->context(), ranges, bytes, std::move(finish));
  });
}

void SwapClient::LoadAsync(std::vector<PageRange> ranges, std::span<std::byte> bytes,
                           PagesDone done) {
  Status status = impl_->Check(ranges, false);
  if (status.ok()) {
    status = CheckBytes(ranges, bytes.size());
  }
  if (!status.ok()) {
    return done({std::move(status), {}});
  }
  impl_->Run<PagesResult>(RequestKind::kLoad, ranges, std::move(done), [&](PagesDone finish) {
    return std::make_shared<client::LoadCall>(impl_->context(), ranges, bytes, std::move(finish));
  });
}

void SwapClient::FreeAsync(std::vector<PageRange> ranges, StatusDone done) {
  if (Status status = impl_->Check(ranges, true); !status.ok()) {
    return done(std::move(status));
  }
  impl_->Run<Status>(RequestKind::kFree, ranges, std::move(done), [&](StatusDone finish) {
    return std::make_shared<client::PlainCall>(impl_->context(), RequestKind::kFree, ranges,
                                               std::move(finish));
  });
}

void SwapClient::PrefetchAsync(std::vector<PageRange> ranges, StatusDone done) {
  if (Status status = impl_->Check(ranges, false); !status.ok()) {
    return done(std::move(status));
  }
  impl_->Run<Status>(RequestKind::kPrefetch, ranges, std::move(done), [&](StatusDone finish) {
    return std::make_shared<client::PlainCall>(impl_->context(), RequestKind::kPrefetch, ranges,
                                               std::move(finish));
  });
}

void SwapClient::ExtentsAsync(PageRange range, RunsDone done) {
  if (Status status = impl_->Check({range}, false); !status.ok()) {
    return done(std::move(status));
  }
  impl_->Run<StatusOr<Runs>>(RequestKind::kExtents, {range}, std::move(done), [&](RunsDone finish) {
    return std::make_shared<client::ExtentsCall>(impl_->context(), range, std::move(finish));
  });
}

PagesResult SwapClient::Store(Offset offset, ByteView bytes) {
  return Store(WholePages(offset, bytes.size()), bytes);
}

PagesResult SwapClient::Store(const std::vector<PageRange>& ranges, ByteView bytes) {
  if (Status status = impl_->CheckMayBlock(); !status.ok()) {
    return {std::move(status), {}};
  }
  return Wait<PagesResult>([&](PagesDone done) { StoreAsync(ranges, bytes, std::move(done)); });
}

PagesResult SwapClient::Load(Offset offset, std::span<std::byte> bytes) {
  return Load(WholePages(offset, bytes.size()), bytes);
}

PagesResult SwapClient::Load(const std::vector<PageRange>& ranges, std::span<std::byte> bytes) {
  if (Status status = impl_->CheckMayBlock(); !status.ok()) {
    return {std::move(status), {}};
  }
  return Wait<PagesResult>([&](PagesDone done) { LoadAsync(ranges, bytes, std::move(done)); });
}

Status SwapClient::Free(Offset offset, uint64_t pages) { return Free({{offset, pages}}); }

Status SwapClient::Free(const std::vector<PageRange>& ranges) {
  VSWAP_RETURN_IF_ERROR(impl_->CheckMayBlock());
  return Wait<Status>([&](StatusDone done) { FreeAsync(ranges, std::move(done)); });
}

Status SwapClient::Prefetch(Offset offset, uint64_t pages) {
  VSWAP_RETURN_IF_ERROR(impl_->CheckMayBlock());
  return Wait<Status>([&](StatusDone done) { PrefetchAsync({{offset, pages}}, std::move(done)); });
}

StatusOr<SwapClient::Runs> SwapClient::Extents(Offset offset, uint64_t pages) {
  VSWAP_RETURN_IF_ERROR(impl_->CheckMayBlock());
  return Wait<StatusOr<Runs>>([&](RunsDone done) {
    ExtentsAsync({offset, pages}, std::move(done));
  });
}

Status SwapClient::Close(Duration patience) { return impl_->Close(patience); }

}  // namespace vswap
