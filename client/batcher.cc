#include "client/batcher.h"

#include <algorithm>
#include <string>
#include <utility>

namespace vswap::client {

Batcher::~Batcher() {
  for (Request* request : open_) {
    pool_.PutBack(*request);
  }
  if (spare_ != nullptr) {
    pool_.PutBack(*spare_);
  }
}

void Batcher::AddRoom(Request& request) {
  if (done_ || spare_ != nullptr) {
    return pool_.PutBack(request);
  }
  request.Reset();
  spare_ = &request;
}

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

Request* Batcher::Empty() {
  return spare_ != nullptr ? std::exchange(spare_, nullptr) : pool_.TryTake();
}

std::optional<size_t> Batcher::Open(ShardId shard) {
  for (size_t i = 0; i < open_.size(); ++i) {
    if (open_[i]->shard == shard) {
      return i;
    }
  }
  Request* const request = open_.full() ? nullptr : Empty();
  if (request == nullptr) {
    return std::nullopt;
  }
  request->shard = shard;
  open_.push_back(request);
  return open_.size() - 1;
}

Request* Batcher::TakeOpen(size_t at) {
  if (at == open_.size()) {
    return nullptr;
  }
  Request* const request = open_[at];
  open_.erase(at);
  return request;
}

Request* Batcher::Next() {
  while (true) {
    const std::optional<Piece> piece = carry_ ? std::exchange(carry_, std::nullopt) : Cut();
    if (!piece) {
      done_ = open_.empty();
      return TakeOpen(0);
    }
    const ShardId shard = ShardOf(space_, piece->extent.offset, shard_count_);
    const std::optional<size_t> at = Open(shard);
    if (!at) {
      carry_ = piece;
      return TakeOpen(0);
    }
    Request& request = *open_[*at];
    // A piece is never cut to fill a batch up: aligned requests of a caller stay whole.
    const bool fits = request.pages + piece->extent.pages <= limits_.pages_max &&
                      request.pieces.size() < limits_.pieces_max;
    if (!fits) {
      carry_ = piece;
      return TakeOpen(*at);
    }
    request.Add(*piece);
    if (request.pages == limits_.pages_max) {
      return TakeOpen(*at);
    }
  }
}

Status ValidateRanges(std::span<const PageRange> ranges, uint64_t space_pages, bool distinct) {
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
  std::vector<PageRange> sorted(ranges.begin(), ranges.end());
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
