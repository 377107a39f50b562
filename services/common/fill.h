#pragma once

#include <algorithm>
#include <cstdint>

namespace vswap {

// The part of a node's limits that is taken, 0..1; 0 where it has none (a limit of 0). Occupied
// bytes are those that new pages cannot have.
inline double FillOf(uint64_t pages, uint64_t pages_capacity, uint64_t occupied_bytes,
                     uint64_t capacity_bytes) {
  const auto part = [](uint64_t taken, uint64_t limit) {
    return limit == 0 ? 0 : static_cast<double>(taken) / static_cast<double>(limit);
  };
  return std::max(part(pages, pages_capacity), part(occupied_bytes, capacity_bytes));
}

}  // namespace vswap
