#pragma once

#include <vector>

#include "services/common/ids.h"

// What the killed process writes and its test expects: round r stores 16 pages under version r, and
// after kRoundsOverSlots rounds the slots come again.
namespace vswap::crash {

inline constexpr ShardId kShard = 5;
inline constexpr uint64_t kPagesOfRound = 16;
inline constexpr uint64_t kRoundsOverSlots = 64;
inline constexpr uint64_t kCapacityPages = 4 * kPagesOfRound * kRoundsOverSlots;

inline std::vector<PageName> NamesOfRound(uint64_t round) {
  std::vector<PageName> names;
  for (uint64_t i = 0; i < kPagesOfRound; ++i) {
    names.push_back({1, (round % kRoundsOverSlots) * kPagesOfRound + i, round});
  }
  return names;
}

}  // namespace vswap::crash
