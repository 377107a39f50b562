#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "services/common/mutex.h"
#include "services/frontend/entry_table.h"

namespace vswap {

// Pages of which a copy was found missing or damaged while another may be sound: they are to be
// moved, which makes all copies anew. Thread-safe.
class Repairs {
 public:
  static constexpr size_t kPagesMax = 1 << 18;
  static constexpr int kTriesMax = 5;

  struct Page {
    Entry entry;  // as it was then
    int tries = 0;
  };
  using BySlot = std::map<std::pair<SpaceId, Offset>, Page>;
  using ByShard = std::map<ShardId, BySlot>;

  // False where there are too many. Of one slot the newest is kept.
  bool Add(ShardId shard, SpaceId space, Offset offset, const Page& page);
  // All of them; they count as waiting until the rest is given back. Those that were tried
  // kTriesMax times are dropped then, and counted.
  ByShard Take();
  void GiveBack(const ByShard& rest);
  // Pages that were not repaired yet.
  size_t waiting() const;
  // No more may be looked for.
  bool full() const { return waiting() >= kPagesMax / 2; }
  uint64_t given_up() const;

 private:
  void Keep(ShardId shard, const std::pair<SpaceId, Offset>& slot, const Page& page)
      REQUIRES(mutex_);

  mutable Mutex mutex_;
  ByShard pages_ GUARDED_BY(mutex_);
  size_t waiting_ GUARDED_BY(mutex_) = 0;
  size_t taken_ GUARDED_BY(mutex_) = 0;
  uint64_t given_up_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vswap
