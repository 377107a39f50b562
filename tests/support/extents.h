#pragma once

#include <vector>

#include "services/common/ids.h"

namespace vswap {

// Slots in their order, neighbours as one extent: an Extent, or a PageRange.
template <typename Run = Extent>
std::vector<Run> ExtentsOf(const std::vector<Offset>& offsets) {
  std::vector<Run> extents;
  for (const Offset offset : offsets) {
    if (!extents.empty() && extents.back().offset + extents.back().pages == offset) {
      ++extents.back().pages;
    } else {
      extents.push_back({offset, 1});
    }
  }
  return extents;
}

}  // namespace vswap
