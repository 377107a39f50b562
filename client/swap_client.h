#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "client/client_options.h"
#include "client/client_stats.h"
#include "client/page_range.h"
#include "client/results.h"
#include "services/common/page.h"
#include "services/common/status.h"

namespace vswap {

// A client of one space: the attachment, its connections, and the calls. See client/README.md for a
// guide.
//
// Calls on the same slots take effect in the order in which they were made; calls on different
// slots go in any order. A call comes back when the service has acknowledged it, or after
// `patience` without progress. While the service is away, calls wait and are sent again; nothing is
// sent twice with an effect.
//
// Thread-safe, but for Close and the destructor, which must come after all calls. Callbacks run one
// at a time, on the client's own thread or on one that waits for its blocking call; or within the
// call, if it is refused or its answer is there before it returns: hold no lock over a call that its
// callback takes. They must be short and must not block; asynchronous calls may be made from them,
// blocking ones are refused with FAILED_PRECONDITION. Bytes given to a call are borrowed until it is
// answered, and must not change until then.
//
// Statuses of every call: INVALID_ARGUMENT (names field and range); ABORTED with reason kFenced:
// another client has taken the space over, which is final; UNAVAILABLE or DEADLINE_EXCEEDED:
// patience is over, the outcome is unknown; CANCELLED: the client was destroyed;
// FAILED_PRECONDITION: closed.
class SwapClient {
 public:
  using PagesDone = std::function<void(PagesResult)>;
  using StatusDone = std::function<void(Status)>;
  using Runs = std::vector<SlotRun>;
  using RunsDone = std::function<void(StatusOr<Runs>)>;

  // Attaches to the space. FAILED_PRECONDITION (reason kAttached): another holder has it; NOT_FOUND
  // (kUnknownSpace): there is none and create_pages is 0; UNAVAILABLE: no service within the
  // patience.
  static StatusOr<std::unique_ptr<SwapClient>> Open(const ClientOptions& options);
  // Cancels calls under way. The space stays attached to the holder.
  ~SwapClient();
  SwapClient(const SwapClient&) = delete;
  SwapClient& operator=(const SwapClient&) = delete;

  uint64_t space_pages() const;
  Duration patience() const;

  // `bytes` holds the pages of the ranges end to end; no slot may be in them twice.
  PagesResult Store(Offset offset, ByteView bytes);
  PagesResult Store(const std::vector<PageRange>& ranges, ByteView bytes);
  void StoreAsync(std::vector<PageRange> ranges, ByteView bytes, PagesDone done);

  PagesResult Load(Offset offset, std::span<std::byte> bytes);
  PagesResult Load(const std::vector<PageRange>& ranges, std::span<std::byte> bytes);
  void LoadAsync(std::vector<PageRange> ranges, std::span<std::byte> bytes, PagesDone done);

  // The same for consecutive slots and a caller that must not allocate, as one that serves the
  // kernel's swap: `codes`, one a page, is what PagesResult::codes would be. These two and
  // Free(offset, pages) allocate nothing of their own, unless they fail.
  Status Store(Offset offset, ByteView bytes, std::span<PageCode> codes);
  Status Load(Offset offset, std::span<std::byte> bytes, std::span<PageCode> codes);

  // No slot may be in the ranges twice. Slots without a backing are no error.
  Status Free(Offset offset, uint64_t pages);
  Status Free(const std::vector<PageRange>& ranges);
  void FreeAsync(std::vector<PageRange> ranges, StatusDone done);

  // A hint; not ordered with other calls.
  Status Prefetch(Offset offset, uint64_t pages);
  void PrefetchAsync(std::vector<PageRange> ranges, StatusDone done);

  // The runs that cover the range, neighbours of different kinds. Not ordered with calls under way.
  StatusOr<Runs> Extents(Offset offset, uint64_t pages);
  void ExtentsAsync(PageRange range, RunsDone done);

  ClientStats stats() const;

  // Detaches, so that any holder may open the space. Later calls are refused. UNAVAILABLE: the
  // service did not answer within the patience, the space may still be attached.
  Status Close() { return Close(patience()); }
  Status Close(Duration patience);

 private:
  class Impl;
  explicit SwapClient(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace vswap
