#include "client/results.h"

#include <algorithm>

namespace vswap {

bool PagesResult::AllOk() const {
  return status.ok() && std::ranges::all_of(codes, [](PageCode c) { return c == PageCode::kOk; });
}

size_t PagesResult::Find(PageCode code) const {
  return static_cast<size_t>(std::ranges::find(codes, code) - codes.begin());
}

}  // namespace vswap
