#pragma once

#include "services/common/status.h"

namespace vswap {

// Whether a call's failure means that its process did not answer, and not that it, or the way to
// it, has too much to do.
inline bool IsSilence(const Status& status) {
  return status.code() == StatusCode::kUnavailable ||
         status.code() == StatusCode::kDeadlineExceeded;
}

}  // namespace vswap
