#pragma once

#include <vector>

#include "services/common/ids.h"
#include "services/common/page.h"

namespace vswap {

using PageBytes = std::vector<std::byte>;

inline PageBytes ZeroPage() { return PageBytes(kPageBytes); }

// One page to store.
struct ContentAt {
  Offset offset = 0;
  PageBytes bytes;
};

}  // namespace vswap
