#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "tests/support/local_cluster.h"

namespace vswap {

// What front-ends have done since they took a member of the cluster for dead, or silent.
struct Reactions {
  uint64_t shards_lost = 0;  // taken from a front-end that lives
  uint64_t log_replicas_removed = 0;
  uint64_t pages_rebuilt = 0;
  uint64_t pages_degraded = 0;  // stored with fewer copies than are wanted

  Reactions& operator+=(const Reactions& other);
  Reactions operator-(const Reactions& other) const;
};

// Sums the front-ends' counters, which begin anew with each process: what a process counted is
// known up to the last time that it was asked. Thread-confined.
class ReactionCounter {
 public:
  ReactionCounter(const LocalCluster& cluster, int front_ends)
      : cluster_(cluster), front_ends_(front_ends) {}
  // Asks all that answer.
  Reactions Read();
  // Once all answer.
  Reactions ReadAll();

 private:
  const LocalCluster& cluster_;
  const int front_ends_;
  Reactions ended_;  // of processes that are gone
  std::map<std::string, std::pair<pid_t, Reactions>> latest_;
};

}  // namespace vswap
