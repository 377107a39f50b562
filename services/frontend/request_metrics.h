#pragma once

#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>

#include "services/common/executor.h"
#include "services/common/page.h"

namespace vswap {

enum class Operation : uint8_t { kStore, kLoad, kFree, kPrefetch, kExtents, kAllocate, kDuplicate };
inline constexpr size_t kOperations = 7;
inline constexpr size_t kLanes = 5;

// How long requests took, by operation and lane: from the decoded request to the answer handed to
// gRPC, in seconds. The handles are resolved once; one observation a batch. Thread-safe.
class RequestMetrics {
 public:
  explicit RequestMetrics(prometheus::Registry& registry);
  void Observe(Operation operation, Lane lane, Duration took);
  void CountFailure(Operation operation);

 private:
  std::array<std::array<prometheus::Histogram*, kLanes>, kOperations> seconds_;
  std::array<prometheus::Counter*, kOperations> failures_;
};

}  // namespace vswap
