#pragma once

#include <vector>

#include "services/common/ids.h"

namespace vswap {

// Slots in their order, neighbours as one extent.
inline std::vector<Extent> ExtentsOf(const std::vector<Offset>& offsets) {
  std::vector<Extent> extents;
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
