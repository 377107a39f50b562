#include "services/common/page.h"

#include <cstring>

namespace vswap {

const char* Name(PageCode code) {
  switch (code) {
    case PageCode::kUnset:
      return "unset";
    case PageCode::kOk:
      return "ok";
    case PageCode::kNotFound:
      return "not_found";
    case PageCode::kDataLoss:
      return "data_loss";
    case PageCode::kResourceExhausted:
      return "resource_exhausted";
    case PageCode::kIncompressible:
      return "incompressible";
    case PageCode::kInvalid:
      return "invalid";
    case PageCode::kCorrupt:
      return "corrupt";
    case PageCode::kUnavailable:
      return "unavailable";
    case PageCode::kFailedPrecondition:
      return "failed_precondition";
  }
  return "unknown";
}

bool IsZeroPage(PageView page) {
  // A page that begins with zero and equals itself shifted by a byte is all zeros.
  return page[0] == std::byte{0} && std::memcmp(page.data(), page.data() + 1, kPageBytes - 1) == 0;
}

}  // namespace vswap
