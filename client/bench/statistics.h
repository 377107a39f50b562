#pragma once

#include <algorithm>
#include <vector>

namespace vswap::bench {

// The value that `share` (0..1) of the sorted values do not exceed; 0 without values.
inline double Percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) {
    return 0;
  }
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<size_t>(share * last + 0.5)];
}

// 0 without values.
inline double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return Percentile(values, 0.5);
}

}  // namespace vswap::bench
