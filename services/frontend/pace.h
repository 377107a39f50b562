#pragma once

#include <cstdint>

#include "services/common/executor.h"

namespace vswap {

// What so many take at least at `per_second`, so that the rate is kept; 0 where that is 0: no
// limit.
inline Duration TimeAt(uint64_t per_second, size_t count) {
  return per_second == 0 ? Duration()
                         : Duration(std::chrono::seconds(1)) * static_cast<int64_t>(count) /
                               static_cast<int64_t>(per_second);
}

}  // namespace vswap
