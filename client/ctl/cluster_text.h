#pragma once

#include <string>
#include <vector>

#include "vswap/v1/admin.pb.h"

namespace vswap {

// What `vswapctl nodes`, `shards` and `jobs` print: tables for people, or JSON whose keys are never
// renamed. Described in README.md.

std::string NodesAsTable(const v1::GetClusterResponse& cluster);
std::string NodesAsJson(const v1::GetClusterResponse& cluster);

std::string ShardsAsTable(const v1::GetClusterResponse& cluster);
std::string ShardsAsJson(const v1::GetClusterResponse& cluster);

// HOST:PORT of the front-end that is to serve the shard; empty: none is for now.
std::string OwnerAddress(const v1::GetClusterResponse& cluster, uint32_t shard);

// What is moved: off a node that drains, or since pages have too few copies. The cluster's records,
// and what the front-ends tell of themselves.
struct Job {
  std::string name;   // "drain NODE" or "rebuild"
  std::string state;  // running, waiting, paused, done
  uint64_t pages_left = 0;
  uint64_t pages_total = 0;        // 0: not known
  uint64_t log_replicas_left = 0;  // of a store
  uint64_t pages_per_second = 0;   // at most; 0: as background work goes
  std::string waits_for;           // where it is waiting; for people
};
std::vector<Job> JobsOf(const v1::GetClusterResponse& cluster,
                        const std::vector<v1::GetStatusResponse>& front_ends);
// One line for people.
std::string DrainAsText(const Job& job);
std::string JobsAsTable(const std::vector<Job>& jobs);
std::string JobsAsJson(const std::vector<Job>& jobs);

// Whether everything has as many copies as are wanted: whether the next failure may come.
struct Redundancy {
  uint32_t shards = 0;           // of the cluster
  uint32_t shards_unserved = 0;  // also those of front-ends that do not answer
  uint32_t shards_degraded = 0;  // with too few table logs
  uint64_t pages_degraded = 0;   // with too few copies
  uint64_t comparisons_due = 0;  // of tables with nodes, that may find more such pages
  std::string waits_for;         // why they have, for people

  bool full() const {
    return shards_unserved == 0 && shards_degraded == 0 && pages_degraded == 0 &&
           comparisons_due == 0;
  }
};
Redundancy RedundancyOf(const v1::GetClusterResponse& cluster,
                        const std::vector<v1::GetStatusResponse>& front_ends);
// A line that begins with "redundancy: ", and is "redundancy: full" where it is.
std::string RedundancyAsText(const Redundancy& redundancy);

// The front-ends' statuses as one: each tells of the pages of its own shards.
v1::GetStatusResponse Sum(const std::vector<v1::GetStatusResponse>& front_ends);

}  // namespace vswap
