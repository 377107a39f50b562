#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "services/common/page.h"
#include "services/frontend/entry_table.h"

namespace vswap {

// Finds free slots of one allocated space in one shard: for each order the client's current
// cluster, then a partly filled cluster (those with small runs first), then a cluster that holds
// nothing, then another order's current one. As the kernel's per-CPU clusters do, so that what a
// client allocates one after the other lies together.
//
// Keeps no copy of what is free: it looks into the table, and remembers of each partly filled
// cluster an upper bound of the largest free run. A bound that was too high is lowered when the
// search fails there, so a failure is paid for by the free that raised it.
//
// Bad at: finding the best place; runs of an order are searched slot by slot within a cluster.
// Externally synchronised, with the table: by the mutex of the shard.
class EntryAllocator {
 public:
  struct Place {
    SpaceId space = 0;
    uint64_t space_pages = 0;
    ShardId shard = 0;
    uint32_t shard_count = 0;
  };

  // Learns which clusters exist; costs what the shard holds.
  EntryAllocator(const Place& place, const EntryTable& table);

  // The first slot of a free, naturally aligned run of 2^order slots; empty if there is none. It
  // must have a change under way before the next call.
  std::optional<Offset> Find(const EntryTable& table, uint32_t order);
  // Slots of the cluster became free.
  void NoteFreed(const EntryTable& table, uint64_t cluster);
  // Another client has come: it begins with no current clusters.
  void ForgetCurrent(const EntryTable& table);

 private:
  struct Current {
    uint64_t cluster = 0;
    uint32_t next = 0;  // slots below it were looked at
  };

  std::optional<Offset> FindIn(const EntryTable& table, uint64_t cluster, uint32_t order,
                               uint32_t from) const;
  std::optional<Offset> FindInPartial(const EntryTable& table, uint32_t order);
  std::optional<Offset> MakeCurrent(uint64_t cluster, uint32_t order, Offset found);
  uint32_t LimitOf(uint64_t cluster) const;
  bool IsCurrent(uint64_t cluster) const;
  // Files a cluster that is nobody's current one by what is free in it.
  void File(const EntryTable& table, uint64_t cluster);
  void SetBound(uint64_t cluster, std::optional<uint32_t> bound);
  void AddHole(uint64_t cluster);
  std::optional<uint64_t> TakeEmptyCluster();
  // The shard's next cluster at the frontier, which moves behind it.
  std::optional<uint64_t> PassFrontier();

  const Place place_;
  std::array<std::optional<Current>, kOrderMax + 1> current_;
  std::array<std::set<uint64_t>, kOrderMax + 1> partial_;  // by bound
  std::unordered_map<uint64_t, uint32_t> bounds_;          // of the clusters in partial_
  std::map<uint64_t, uint64_t> holes_;  // runs of clusters below the frontier: first, length
  uint64_t frontier_ = 0;               // clusters from here on were never used
};

}  // namespace vswap
