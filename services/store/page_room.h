#pragma once

#include <cstdint>

#include "services/common/mutex.h"

namespace vswap {

// How many pages a store may hold, and holds. A new page takes ordinary room; one that replaces
// another, whose record goes once this one is published, may for that while be one over, up to the
// overlap reserve.
//
// Thread-safe. Invariant: `pages` is what was counted or reserved and not given back.
class PageRoom {
 public:
  // `capacity` 0: nothing fits, replacements neither.
  PageRoom(uint64_t capacity, uint64_t overlap) : capacity_(capacity), overlap_(overlap) {}

  bool Reserve(bool replaces) {
    MutexLock lock(mutex_);
    const uint64_t limit = capacity_ == 0 ? 0 : capacity_ + (replaces ? overlap_ : 0);
    if (pages_ >= limit) {
      return false;
    }
    ++pages_;
    return true;
  }
  void GiveBack(uint64_t pages, uint64_t bytes) {
    MutexLock lock(mutex_);
    pages_ -= pages;
    bytes_ -= bytes;
  }
  // Stored bytes of pages whose room was reserved, and of rewritten ones.
  void Fill(uint64_t bytes_new, uint64_t bytes_old) {
    MutexLock lock(mutex_);
    bytes_ += bytes_new;
    bytes_ -= bytes_old;
  }
  // Found at start, room or not.
  void Count(uint64_t pages, uint64_t bytes) {
    MutexLock lock(mutex_);
    pages_ += pages;
    bytes_ += bytes;
  }
  uint64_t capacity() const { return capacity_; }
  uint64_t pages() {
    MutexLock lock(mutex_);
    return pages_;
  }
  uint64_t bytes() {
    MutexLock lock(mutex_);
    return bytes_;
  }

 private:
  const uint64_t capacity_;
  const uint64_t overlap_;
  Mutex mutex_;
  uint64_t pages_ GUARDED_BY(mutex_) = 0;
  uint64_t bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vswap
