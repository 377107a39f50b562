#pragma once

#include <map>
#include <optional>
#include <vector>

#include "client/page_range.h"
#include "services/common/page.h"
#include "services/common/status.h"

namespace vswap::client {

// A run of slots, and which page of the call its first one is.
struct Piece {
  Extent extent;
  uint64_t page = 0;
};

// Slots of one shard that go into one request.
struct Batch {
  ShardId shard = 0;
  std::vector<Piece> pieces;
  uint32_t pages = 0;

  // Joins the piece with the last one where it continues it.
  void Add(const Piece& piece);
};

// Cuts a call's ranges into batches: each within one shard and the limits of the protocol. Ranges
// of any length cost no memory: at most one open batch a shard is kept, and a batch is made when it
// is asked for.
//
// Batches that are full come first, so they are not in the order of the ranges. Thread-confined.
class Batcher {
 public:
  static constexpr size_t kExtentsMax = 256;

  struct Limits {
    uint32_t pages_max = kBatchPagesMax;
    size_t pieces_max = kExtentsMax;
  };

  Batcher(SpaceId space, uint32_t shard_count, const Limits& limits, std::vector<PageRange> ranges);

  // Empty when everything was handed out.
  std::optional<Batch> Next();

 private:
  // The next piece, no longer than a batch and within one stripe.
  std::optional<Piece> Cut();

  const SpaceId space_;
  const uint32_t shard_count_;
  const Limits limits_;
  const std::vector<PageRange> ranges_;
  size_t range_ = 0;            // being cut
  uint64_t in_range_ = 0;       // pages of it that are cut off
  uint64_t page_ = 0;           // of the call
  std::optional<Piece> carry_;  // cut, but without room in its shard's open batch
  std::map<ShardId, Batch> open_;
};

// Ranges as a caller may give them: each at least one page, within the space, and no slot twice if
// `distinct`.
Status ValidateRanges(const std::vector<PageRange>& ranges, uint64_t space_pages, bool distinct);

}  // namespace vswap::client
