#pragma once

#include <algorithm>
#include <cstdint>

#include "services/common/mutex.h"

namespace vswap::client {

// Bounds what is under way: a caller waits while there is no room. What is larger than everything
// goes alone. Thread-safe.
class Gate {
 public:
  explicit Gate(uint64_t limit) : limit_(limit) {}

  // With `may_wait` false the room is taken in any case: for a thread that makes room itself.
  void Enter(uint64_t amount, bool may_wait) {
    MutexLock lock(mutex_);
    while (may_wait && used_ > 0 && used_ + std::min(amount, limit_) > limit_) {
      room_.Wait(mutex_);
    }
    used_ += std::min(amount, limit_);
  }
  void Leave(uint64_t amount) {
    {
      MutexLock lock(mutex_);
      used_ -= std::min(amount, limit_);
    }
    room_.NotifyAll();
  }
  uint64_t used() {
    MutexLock lock(mutex_);
    return used_;
  }

 private:
  const uint64_t limit_;
  Mutex mutex_;
  CondVar room_;
  uint64_t used_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vswap::client
