#include "services/frontend/validate.h"

#include <algorithm>
#include <bit>
#include <string>

namespace vswap {
namespace {

std::string Range(uint64_t low, uint64_t high) {
  return std::to_string(low) + ".." + std::to_string(high);
}

Status ValidatePage(const PageIn& page) {
  const size_t length = page.bytes.size();
  switch (page.encoding) {
    case Encoding::kZero:
      return length == 0 ? Status() : InvalidField("lengths", std::to_string(length), "0 for ZERO");
    case Encoding::kRaw:
      return length == kPageBytes ? Status()
                                  : InvalidField("lengths", std::to_string(length), "4096 for RAW");
    case Encoding::kLz4:
      return length >= 1 && length < kPageBytes
                 ? Status()
                 : InvalidField("lengths", std::to_string(length), "1..4095 for LZ4");
    case Encoding::kUnset:
      break;
  }
  return InvalidField("encodings", std::to_string(static_cast<int>(page.encoding)),
                      "1 (RAW), 2 (ZERO), 3 (LZ4)");
}

Status ValidateWhole(const std::vector<Extent>& extents) {
  const Extent& extent = extents.front();
  const bool aligned =
      extents.size() == 1 && std::has_single_bit(extent.pages) && extent.offset % extent.pages == 0;
  return aligned ? Status()
                 : InvalidField("extents",
                                std::to_string(extents.size()) + " long, the first " +
                                    std::to_string(extent.pages) + " pages at offset " +
                                    std::to_string(extent.offset),
                                "with `whole` one naturally aligned extent of 2^order pages");
}

}  // namespace

Status ValidateHeader(const RequestHeader& header, uint32_t shard_count) {
  if (header.shard >= shard_count) {
    return InvalidField("shard", std::to_string(header.shard), Range(0, shard_count - 1));
  }
  if (header.sequence == 0) {
    return InvalidField("sequence", "0", "1 and up");
  }
  if (header.floor == 0 || header.floor > header.sequence) {
    return InvalidField("sequence_floor", std::to_string(header.floor), Range(1, header.sequence));
  }
  return Status();
}

Status ValidateExtents(const RequestHeader& header, const std::vector<Extent>& extents,
                       const BatchLimits& limits) {
  if (extents.empty() || extents.size() > kBatchPagesMax) {
    return InvalidField("extents", std::to_string(extents.size()) + " long",
                        Range(1, kBatchPagesMax));
  }
  uint64_t pages = 0;
  for (const Extent& extent : extents) {
    if (extent.offset >= limits.space_pages) {
      return InvalidField("offset", std::to_string(extent.offset),
                          Range(0, limits.space_pages - 1));
    }
    if (extent.pages == 0 || extent.pages > limits.pages_max ||
        extent.pages > limits.space_pages - extent.offset) {
      const uint64_t high =
          std::min<uint64_t>(limits.pages_max, limits.space_pages - extent.offset);
      return InvalidField("pages", std::to_string(extent.pages),
                          Range(1, high) + " at offset " + std::to_string(extent.offset));
    }
    pages += extent.pages;
    // A stripe has one shard, and an extent of at most a stripe touches at most two.
    for (const Offset offset : {extent.offset, extent.offset + extent.pages - 1}) {
      if (ShardOf(header.space, offset, limits.shard_count) != header.shard) {
        return InvalidField("shard", std::to_string(header.shard),
                            std::to_string(ShardOf(header.space, offset, limits.shard_count)) +
                                " for offset " + std::to_string(offset));
      }
    }
  }
  if (pages > limits.pages_max) {
    return InvalidField("extents", std::to_string(pages) + " pages together",
                        Range(1, limits.pages_max));
  }
  return Status();
}

Status ValidatePages(const StoreCall& call) {
  std::vector<Offset> offsets;
  for (const Extent& extent : call.extents) {
    for (uint32_t i = 0; i < extent.pages; ++i) {
      offsets.push_back(extent.offset + i);
    }
  }
  if (call.pages.size() != offsets.size()) {
    return InvalidField("encodings", std::to_string(call.pages.size()) + " pages",
                        std::to_string(offsets.size()) + ", as many as the extents cover");
  }
  for (size_t i = 0; i < offsets.size(); ++i) {
    if (call.pages[i].offset != offsets[i]) {
      return InvalidField("offset", std::to_string(call.pages[i].offset),
                          std::to_string(offsets[i]) + ", as in the extents");
    }
    VSWAP_RETURN_IF_ERROR(ValidatePage(call.pages[i]));
  }
  VSWAP_RETURN_IF_ERROR(ValidateDistinct(call.extents));
  return call.whole ? ValidateWhole(call.extents) : Status();
}

Status ValidateDistinct(std::vector<Extent> extents) {
  std::ranges::sort(extents, {}, &Extent::offset);
  const auto twice = std::ranges::adjacent_find(
      extents, [](const Extent& a, const Extent& b) { return a.offset + a.pages > b.offset; });
  return twice == extents.end()
             ? Status()
             : InvalidField("extents", "slot " + std::to_string((twice + 1)->offset) + " twice",
                            "each slot once");
}

Status ValidateAllocate(uint32_t order, uint32_t count) {
  if (order > kOrderMax) {
    return InvalidField("order", std::to_string(order), Range(0, kOrderMax));
  }
  const uint64_t count_max = std::min<uint64_t>(kBatchPagesMax, kStripePages >> order);
  if (count == 0 || count > count_max) {
    return InvalidField("count", std::to_string(count),
                        Range(1, count_max) + " at order " + std::to_string(order));
  }
  return Status();
}

}  // namespace vswap
