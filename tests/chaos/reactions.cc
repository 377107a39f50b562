#include "tests/chaos/reactions.h"

#include <gtest/gtest.h>

#include "tests/support/service.h"

namespace vswap {

Reactions& Reactions::operator+=(const Reactions& other) {
  shards_lost += other.shards_lost;
  log_replicas_removed += other.log_replicas_removed;
  pages_rebuilt += other.pages_rebuilt;
  pages_degraded += other.pages_degraded;
  return *this;
}

Reactions Reactions::operator-(const Reactions& other) const {
  return {shards_lost - other.shards_lost, log_replicas_removed - other.log_replicas_removed,
          pages_rebuilt - other.pages_rebuilt, pages_degraded - other.pages_degraded};
}

Reactions ReactionCounter::ReadAll() {
  EXPECT_TRUE(PollUntil([this] {
    for (int n = 1; n <= front_ends_; ++n) {
      if (cluster_.Metrics("frontend/" + std::to_string(n)).empty()) {
        return false;
      }
    }
    return true;
  }));
  return Read();
}

Reactions ReactionCounter::Read() {
  for (int n = 1; n <= front_ends_; ++n) {
    const std::string process = "frontend/" + std::to_string(n);
    const pid_t pid = cluster_.Pid(process);
    const std::string metrics = cluster_.Metrics(process);
    if (metrics.empty()) {
      continue;
    }
    auto& [known, counts] = latest_[process];
    if (known != pid) {
      ended_ += std::exchange(counts, {});
      known = pid;
    }
    counts = {MetricIn(metrics, "vswap_shards_lost_total"),
              MetricIn(metrics, "vswap_log_replicas_removed_total"),
              MetricIn(metrics, "vswap_rebuilds_total"),
              MetricIn(metrics, "vswap_stores_degraded_total")};
  }
  Reactions sum = ended_;
  for (const auto& [process, latest] : latest_) {
    sum += latest.second;
  }
  return sum;
}

}  // namespace vswap
