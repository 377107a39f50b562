#include "client/batcher.h"

#include <algorithm>
#include <string>
#include <utility>

namespace vswap::client {

void Batch::Add(const Piece& piece) {
  pages += piece.extent.pages;
  if (!pieces.empty()) {
    Piece& last = pieces.back();
    if (last.extent.offset + last.extent.pages == piece.extent.offset &&
        last.page + last.extent.pages == piece.page) {
      last.extent.pages += piece.extent.pages;
      return;
    }
  }
  pieces.push_back(piece);
}

Batcher::Batcher(SpaceId space, uint32_t shard_count, const Limits& limits,
                 std::vector<PageRange> ranges)
    : space_(space), shard_count_(shard_count), limits_(limits), ranges_(std::move(ranges)) {}

std::optional<Piece> Batcher::Cut() {
  while (range_ < ranges_.size() && in_range_ == ranges_[range_].pages) {
    ++range_;
    in_range_ = 0;
  }
  if (range_ == ranges_.size()) {
    return std::nullopt;
  }
  const Offset offset = ranges_[range_].offset + in_range_;
  const uint64_t left = ranges_[range_].pages - in_range_;
  const uint64_t stripe_left = kStripePages - offset % kStripePages;
  const auto pages =
      static_cast<uint32_t>(std::min({left, stripe_left, uint64_t{limits_.pages_max}}));
  const Piece piece{{offset, pages}, page_};
  in_range_ += pages;
  page_ += pages;
  return piece;
}

std::optional<Batch> Batcher::Next() {
  while (true) {
    const std::optional<Piece> piece = carry_ ? std::exchange(carry_, std::nullopt) : Cut();
    if (!piece) {
      break;
    }
    const ShardId shard = ShardOf(space_, piece->extent.offset, shard_count_);
    Batch& batch = open_[shard];
    batch.shard = shard;
    // A piece is never cut to fill a batch up: aligned requests of a caller stay whole.
    const bool fits = batch.pages + piece->extent.pages <= limits_.pages_max &&
                      batch.pieces.size() < limits_.pieces_max;
    if (!fits) {
      carry_ = piece;
      return std::move(open_.extract(shard).mapped());
    }
    batch.Add(*piece);
    if (batch.pages == limits_.pages_max) {
      return std::move(open_.extract(shard).mapped());
    }
  }
  if (open_.empty()) {
    return std::nullopt;
  }
  return std::move(open_.extract(open_.begin()).mapped());
}

Status ValidateRanges(const std::vector<PageRange>& ranges, uint64_t space_pages, bool distinct) {
  if (ranges.empty()) {
    return InvalidField("ranges", "0 long", "at least 1");
  }
  for (const PageRange& range : ranges) {
    if (range.offset >= space_pages) {
      return InvalidField("offset", std::to_string(range.offset),
                          "0.." + std::to_string(space_pages - 1));
    }
    if (range.pages == 0 || range.pages > space_pages - range.offset) {
      return InvalidField("pages", std::to_string(range.pages),
                          "1.." + std::to_string(space_pages - range.offset) + " at offset " +
                              std::to_string(range.offset));
    }
  }
  if (!distinct || ranges.size() == 1) {
    return Status();
  }
  std::vector<PageRange> sorted = ranges;
  std::ranges::sort(sorted, {}, &PageRange::offset);
  const auto twice = std::ranges::adjacent_find(
      sorted, [](const PageRange& a, const PageRange& b) { return a.offset + a.pages > b.offset; });
  if (twice != sorted.end()) {
    return InvalidField("ranges", "slot " + std::to_string((twice + 1)->offset) + " twice",
                        "each slot once");
  }
  return Status();
}

}  // namespace vswap::client
