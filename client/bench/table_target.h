#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "client/page_range.h"
#include "services/common/executor.h"
#include "services/common/status.h"

namespace vswap::bench {

// What is behind filled slots.
enum class Fill : uint8_t { kZero, kCompressed };

// A table of entries that `slots` and `sparse` fill, read and empty: our own front-end
// (InProcessTable) or a running service (ServiceTable). Each thread has slots of its own, from 0.
//
// Calls with one thread's number come from one thread; Measure while nothing is under way.
class TableTarget {
 public:
  struct Usage {
    uint64_t live_slots = 0;  // counted by the table
    uint64_t resident_bytes = 0;
    Duration cpu{};  // of the process that has the table, so far
  };

  virtual ~TableTarget() = default;
  // Begin one call; they may come back before it is answered. Its failure is told by Wait.
  virtual void Store(uint32_t thread, const std::vector<PageRange>& ranges) = 0;
  virtual void Load(uint32_t thread, const std::vector<PageRange>& ranges) = 0;
  virtual void Free(uint32_t thread, const std::vector<PageRange>& ranges) = 0;
  // Until the thread's calls are answered; with their first failure.
  virtual Status Wait(uint32_t thread) = 0;
  virtual StatusOr<Usage> Measure() = 0;
};

}  // namespace vswap::bench
