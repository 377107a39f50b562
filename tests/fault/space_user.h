#pragma once

#include <cstdint>

#include "services/common/ids.h"

namespace vswap {

// What space_user does in its space: so many calls are under way at any time, each on slots of its
// own, in shards of all owners.
inline constexpr uint64_t kUserCalls = 64;
inline constexpr uint32_t kUserCallPages = 8;
inline constexpr uint64_t kUserSpacePages = kUserCalls / 2 * kStripePages;

constexpr Offset UserOffset(uint64_t call) { return call * (kStripePages / 2); }

}  // namespace vswap
