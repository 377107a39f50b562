#pragma once

#include <memory>
#include <vector>

#include "services/common/ids.h"
#include "services/common/mutex.h"
#include "services/frontend/shard.h"

namespace vswap {

// The shards that this front-end serves, of all that the cluster has. They come and go; whoever
// holds one may go on using it, and is refused by the shard itself. Thread-safe.
class ShardTable {
 public:
  // Once, before anything else: how many the cluster has.
  void SetCount(uint32_t count) {
    MutexLock lock(mutex_);
    shards_.resize(count);
  }
  // 0: not known yet.
  uint32_t count() const {
    MutexLock lock(mutex_);
    return static_cast<uint32_t>(shards_.size());
  }
  void Add(std::shared_ptr<Shard> shard) {
    MutexLock lock(mutex_);
    shards_[shard->id()] = std::move(shard);
  }
  // Unless another object serves it by now.
  void Remove(const Shard& shard) {
    MutexLock lock(mutex_);
    if (shards_[shard.id()].get() == &shard) {
      shards_[shard.id()] = nullptr;
    }
  }
  // Null: not served here.
  std::shared_ptr<Shard> Find(ShardId id) const {
    MutexLock lock(mutex_);
    return id < shards_.size() ? shards_[id] : nullptr;
  }
  // In order.
  std::vector<std::shared_ptr<Shard>> All() const {
    std::vector<std::shared_ptr<Shard>> all;
    MutexLock lock(mutex_);
    for (const auto& shard : shards_) {
      if (shard != nullptr) {
        all.push_back(shard);
      }
    }
    return all;
  }

 private:
  mutable Mutex mutex_;
  std::vector<std::shared_ptr<Shard>> shards_ GUARDED_BY(mutex_);
};

}  // namespace vswap
