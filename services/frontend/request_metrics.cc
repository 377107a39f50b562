#include "services/frontend/request_metrics.h"

#include <prometheus/counter.h>

namespace vswap {
namespace {

constexpr std::array<const char*, kOperations> kOperationNames = {
    "store", "load", "free", "prefetch", "extents", "allocate", "duplicate"};
constexpr std::array<const char*, kLanes> kLaneNames = {"unset", "demand", "page_out", "prefetch",
                                                        "background"};

// 50 microseconds to 6.5 seconds, by factors of two.
prometheus::Histogram::BucketBoundaries Buckets() {
  prometheus::Histogram::BucketBoundaries buckets;
  for (double seconds = 50e-6; seconds < 7; seconds *= 2) {
    buckets.push_back(seconds);
  }
  return buckets;
}

size_t LaneIndex(Lane lane) {
  const auto index = static_cast<size_t>(lane);
  return index < kLanes ? index : 0;
}

}  // namespace

RequestMetrics::RequestMetrics(prometheus::Registry& registry) {
  auto& seconds = prometheus::BuildHistogram()
                      .Name("vswap_request_seconds")
                      .Help("Time from a decoded request to its answer.")
                      .Register(registry);
  auto& failures = prometheus::BuildCounter()
                       .Name("vswap_requests_failed_total")
                       .Help("Requests refused as a whole.")
                       .Register(registry);
  for (size_t operation = 0; operation < kOperations; ++operation) {
    const std::string name = kOperationNames[operation];
    failures_[operation] = &failures.Add({{"op", name}});
    for (size_t lane = 0; lane < kLanes; ++lane) {
      seconds_[operation][lane] =
          &seconds.Add({{"op", name}, {"lane", kLaneNames[lane]}}, Buckets());
    }
  }
}

void RequestMetrics::Observe(Operation operation, Lane lane, Duration took) {
  seconds_[static_cast<size_t>(operation)][LaneIndex(lane)]->Observe(
      std::chrono::duration<double>(took).count());
}

void RequestMetrics::CountFailure(Operation operation) {
  failures_[static_cast<size_t>(operation)]->Increment();
}

}  // namespace vswap
