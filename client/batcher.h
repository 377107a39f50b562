#pragma once

#include <optional>
#include <span>
#include <vector>

#include "client/page_range.h"
#include "client/request_pool.h"
#include "services/common/status.h"

namespace vswap::client {

// Cuts a call's ranges into the batches of requests: each within one shard and the limits of the
// protocol. Ranges of any length cost no memory: a batch is made when it is asked for, and at most
// kOpenMax requests, one a shard, are kept while they fill.
//
// Batches that are full come first, so they are not in the order of the ranges. Thread-confined;
// the ranges outlive it. Requests that it still has when it goes return to the pool.
class Batcher {
 public:
  static constexpr size_t kOpenMax = 8;

  struct Limits {
    uint32_t pages_max = kBatchPagesMax;
    size_t pieces_max = Request::kPiecesMax;
  };

  Batcher(SpaceId space, uint32_t shard_count, const Limits& limits,
          std::span<const PageRange> ranges, RequestPool& pool)
      : space_(space), shard_count_(shard_count), limits_(limits), ranges_(ranges), pool_(pool) {}
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // A request for the next batch to lie in, in place of one of the pool's.
  void AddRoom(Request& request);
  // A request with shard and pieces; null when everything was handed out, and when there is no
  // request to be had: then it goes on after AddRoom.
  Request* Next();
  bool done() const { return done_; }

 private:
  // The next piece, no longer than a batch and within one stripe.
  std::optional<Piece> Cut();
  // The place in open_ for the shard's batch; nullopt: a batch must go out first.
  std::optional<size_t> Open(ShardId shard);
  Request* TakeOpen(size_t at);
  Request* Empty();

  const SpaceId space_;
  const uint32_t shard_count_;
  const Limits limits_;
  const std::span<const PageRange> ranges_;
  RequestPool& pool_;
  size_t range_ = 0;            // being cut
  uint64_t in_range_ = 0;       // pages of it that are cut off
  uint64_t page_ = 0;           // of the call
  std::optional<Piece> carry_;  // cut, but not yet in a batch
  bool done_ = false;
  FixedVector<Request*, kOpenMax> open_;  // the oldest first
  Request* spare_ = nullptr;
};

// Ranges as a caller may give them: each at least one page, within the space, and no slot twice if
// `distinct`.
Status ValidateRanges(std::span<const PageRange> ranges, uint64_t space_pages, bool distinct);

}  // namespace vswap::client
