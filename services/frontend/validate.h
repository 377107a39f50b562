#pragma once

#include "services/frontend/load_path.h"
#include "services/frontend/store_path.h"

namespace vswap {

// What a batch must look like before the paths see it. The first wrong field is named with its
// allowed range.
struct BatchLimits {
  uint64_t space_pages = 0;
  uint32_t shard_count = 0;
  uint32_t pages_max = kBatchPagesMax;
};

Status ValidateHeader(const RequestHeader& header, uint32_t shard_count);
Status ValidateExtents(const RequestHeader& header, const std::vector<Extent>& extents,
                       const BatchLimits& limits);
// That the pages are as many as the extents' slots, no slot is there twice, and lengths fit
// encodings. Of a store of all or nothing: that it is one naturally aligned extent of 2^order
// pages.
Status ValidatePages(const StoreCall& call);
Status ValidateDistinct(std::vector<Extent> extents);
// Order 0..9; 1..512 extents of together at most 32768 pages.
Status ValidateAllocate(uint32_t order, uint32_t count);

}  // namespace vswap
