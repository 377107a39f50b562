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

  // False where there are too many; a page that was tried kTriesMax times is dropped and counted.
  bool Add(ShardId shard, SpaceId space, Offset offset, const Page& page);
  // All of them; they count as waiting until Done.
  ByShard Take();
  void Done();
  // Pages that were not repaired yet.
  size_t waiting() const;
  bool full() const { return waiting() >= kPagesMax; }
  uint64_t given_up() const;

 private:
  mutable Mutex mutex_;
  ByShard pages_ GUARDED_BY(mutex_);
  size_t waiting_ GUARDED_BY(mutex_) = 0;
  size_t taken_ GUARDED_BY(mutex_) = 0;
  uint64_t given_up_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vswap
