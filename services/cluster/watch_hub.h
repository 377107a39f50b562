#pragma once

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "services/cluster/coordinator.h"
#include "services/common/executor.h"
#include "services/common/mutex.h"

namespace vswap {

// The watches of a coordinator that lives in one process, and the changes of its last revisions.
// Keeps `revisions_max` of them: a watch from before begins with a resync.
//
// Bad at: slow handlers. What they have not been told yet waits in memory.
//
// Thread-safe, but Begin and Publish are called under the lock that orders the coordinator's
// changes, and Deliver after it was let go. Tasks on the executor hold what they use: the hub may
// go before them.
class WatchHub {
 public:
  class Watcher;

  // `revision`: of the store, now. `executor`: where handlers are called; null: within Deliver.
  WatchHub(size_t revisions_max, uint64_t revision, Executor* executor)
      : revisions_max_(revisions_max), executor_(executor), history_from_(revision + 1) {}

  // A watch that has not begun: nothing is told before Begin.
  static std::shared_ptr<Watcher> Make(std::string prefix, uint64_t from_revision,
                                       WatchHandler handler);
  static const std::string& PrefixOf(const Watcher& watcher);
  // Ends the watch when it goes.
  static std::unique_ptr<WatchHandle> HandleOf(std::shared_ptr<Watcher> watcher);

  // Whether the watch needs the records of now, for want of history.
  bool NeedsResync(const Watcher& watcher) const;
  // `revision`: of now; `records`: of now, where it needs them.
  void Begin(const std::shared_ptr<Watcher>& watcher, uint64_t revision,
             std::vector<KeyValue> records);
  // One revision's changes, in the order in which the transaction names them; none: ignored.
  void Publish(std::vector<WatchEvent> events);
  void Deliver();
  // Forgets the changes up to `revision`.
  void Compact(uint64_t revision);

 private:
  const size_t revisions_max_;
  Executor* const executor_;
  mutable Mutex mutex_;
  std::vector<std::shared_ptr<Watcher>> watchers_ GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Watcher>> undelivered_ GUARDED_BY(mutex_);
  // Of one revision each, in order.
  std::deque<std::vector<WatchEvent>> history_ GUARDED_BY(mutex_);
  uint64_t history_from_ GUARDED_BY(mutex_);  // the first revision whose changes are known
};

}  // namespace vswap
