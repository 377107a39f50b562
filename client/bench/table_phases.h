#pragma once

#include <functional>
#include <vector>

#include "client/bench/table_target.h"

namespace vswap::bench {

// The time that one phase took.
struct PhaseTime {
  uint64_t slots = 0;
  double seconds = 0;
  double cpu_seconds = 0;  // of the process that has the table
  double SlotsPerSecond() const { return seconds > 0 ? static_cast<double>(slots) / seconds : 0; }
  double CpuNsPerSlot() const {
    return slots > 0 ? cpu_seconds * 1e9 / static_cast<double>(slots) : 0;
  }
};

// Runs `work(thread)` on so many threads, waits for what they began, and takes the time of
// `slots` operations. The first failure of any.
StatusOr<PhaseTime> RunPhase(TableTarget& table, uint32_t threads, uint64_t slots,
                             const std::function<void(uint32_t thread)>& work);

// Walks 0..count-1 in an order without locality: index `i` of the walk, i < count < 2^40.
uint64_t Scattered(uint64_t i, uint64_t count);

}  // namespace vswap::bench
