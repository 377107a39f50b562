#pragma once

#include "services/common/ids.h"

namespace vswap {

// An extent of any length: the client cuts it as the protocol wants.
struct PageRange {
  Offset offset = 0;
  uint64_t pages = 0;
  bool operator==(const PageRange&) const = default;
};

}  // namespace vswap
