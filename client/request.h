#pragma once

#include "client/page_range.h"
#include "services/common/executor.h"
#include "services/common/fixed_vector.h"
#include "services/common/ids.h"
#include "services/common/intrusive_list.h"
#include "services/common/page.h"
#include "services/common/status.h"
#include "vswap/v1/frontend.pb.h"

namespace vswap::client {

// The numbers of the oneof's fields in ExchangeRequest and ExchangeResponse. What a new kind needs:
// a number here, its body in messages.cc (both ways), and a Call of its own in call.h.
enum class RequestKind : uint8_t { kStore = 2, kLoad = 3, kFree = 4, kPrefetch = 5, kExtents = 6 };

// Whether the server orders it with others on the same slots.
constexpr bool Changes(RequestKind kind) {
  return kind == RequestKind::kStore || kind == RequestKind::kFree;
}

// What came back for one request. Only what belongs to the request's kind is filled, and nothing
// where `status` is an error. Large: there is one a session, used again for each answer.
struct Answer {
  uint64_t id = 0;
  RequestKind kind = RequestKind::kStore;
  Status status;
  Epoch epoch = 0;
  FixedVector<PageCode, kBatchPagesMax> codes;  // of a store or load: one a page
  // Of a load: one a page.
  FixedVector<Encoding, kBatchPagesMax> encodings;
  FixedVector<uint32_t, kBatchPagesMax> lengths;
  FixedVector<uint32_t, kBatchPagesMax> checksums;
  FixedVector<Token, kBatchPagesMax> stamp_tokens;
  FixedVector<Sequence, kBatchPagesMax> stamp_sequences;
  ByteView pages;               // of a load; borrowed for the call
  v1::ExtentsResponse extents;  // off the path of pages: protobuf's own
};

// A run of slots, and which page of the call its first one is.
struct Piece {
  Extent extent;
  uint64_t page = 0;
  bool operator==(const Piece&) const = default;
};

using Pieces = FixedVector<Piece, 256>;

struct Request;

// Who made a request. `OnAnswer` runs exactly once a submission, on the sink's thread, or within
// Submit where the sink already is out of service; the request may be submitted again within it.
class RequestOwner {
 public:
  virtual ~RequestOwner() = default;
  virtual void OnAnswer(Request& request, const Answer& answer) = 0;
};

// One batch for one shard, from its making until its answer, over any number of streams.
//
// Requests are taken from a pool and used again, and hold all that their batch needs within
// themselves (about 8 KiB): nothing is allocated for one. What the maker fills is constant once it
// is submitted; the session's part is guarded by the session's mutex. The bytes that `bytes` points
// to are the caller's: they are read only before the answer.
struct Request : ListNode<Request, struct InQueue>, ListNode<Request, struct InWindow> {
  static constexpr size_t kPiecesMax = Pieces::capacity();

  RequestOwner* owner = nullptr;
  RequestKind kind = RequestKind::kStore;
  Lane lane = Lane::kDemand;
  ShardId shard = 0;
  Pieces pieces;
  uint32_t pages = 0;                // of all pieces
  const std::byte* bytes = nullptr;  // of a store: the call's pages, where `Piece::page` counts
  size_t page_bytes = 0;             // of page contents, there or back
  Duration patience{};               // from the first sending until it is given up
  TimePoint not_before{};

  // The call's.
  int tries = 0;
  TimePoint call_deadline{};
  Duration call_backoff{};

  // Set once, before the first sending.
  Sequence sequence = 0;
  FixedVector<Encoding, kBatchPagesMax> encodings;  // of a store: one a slot
  FixedVector<uint32_t, kBatchPagesMax> checksums;  // of a store: one a slot

  // The session's.
  TimePoint deadline{};
  TimePoint sent_at{};
  bool was_sent = false;
  uint64_t sendings = 0;
  int being_written = 0;  // by so many threads
  Duration backoff{};

  // As new; the pool's next taker knows nothing of the last one.
  void Reset() {
    owner = nullptr;
    pieces.clear();
    pages = 0;
    bytes = nullptr;
    page_bytes = 0;
    not_before = {};
    tries = 0;
    call_backoff = {};
    Renew();
  }
  // As one that was never submitted, with the same batch.
  void Renew() {
    sequence = 0;
    encodings.clear();
    checksums.clear();
    was_sent = false;
    sendings = 0;
    backoff = {};
  }
  // Joins the piece with the last one where it continues it. There is room.
  void Add(const Piece& piece);
  const std::byte* PageAt(uint64_t page) const { return bytes + page * kPageBytes; }
};

// Calls visit(offset, page of the call, index in the batch) for each slot.
template <typename Visit>
void ForEachSlot(const Request& request, Visit visit) {
  size_t index = 0;
  for (const Piece& piece : request.pieces) {
    for (uint32_t i = 0; i < piece.extent.pages; ++i) {
      visit(piece.extent.offset + i, piece.page + i, index++);
    }
  }
}

// Where calls hand their batches. Thread-safe.
class RequestSink {
 public:
  virtual ~RequestSink() = default;
  // Borrows it until its answer.
  virtual void Submit(Request& request) = 0;
};

}  // namespace vswap::client
