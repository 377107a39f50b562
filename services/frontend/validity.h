#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "services/common/executor.h"
#include "services/common/mutex.h"

namespace vswap {

// Until when nobody else can own this front-end's shards, as its lease tells. A load or a backing
// query is answered within that time, or after a log write has proved that the shard is still its
// own: so one that was stopped and goes on never answers what is old. Changes need a log write
// anyway. Thread-safe.
class Validity {
 public:
  // When it ends, in nanoseconds of the clock; moved on by whoever keeps the lease.
  using End = std::atomic<TimePoint::rep>;

  // Always, until something else is said.
  explicit Validity(const Clock& clock) : clock_(clock) {}

  void Always() { end_ = &kAlways; }
  void Never() { end_ = &kNever; }
  void Until(std::shared_ptr<const End> end) {
    MutexLock lock(mutex_);
    end_ = end.get();
    ends_.push_back(std::move(end));
  }
  bool Holds() const {
    const End* const end = end_;
    return end == &kAlways || clock_.Now().time_since_epoch().count() < *end;
  }

 private:
  static inline const End kAlways{TimePoint::max().time_since_epoch().count()};
  static inline const End kNever{TimePoint::min().time_since_epoch().count()};

  const Clock& clock_;
  std::atomic<const End*> end_{&kAlways};
  Mutex mutex_;
  // Of all leases there were, since readers take no lock.
  std::vector<std::shared_ptr<const End>> ends_ GUARDED_BY(mutex_);
};

}  // namespace vswap
