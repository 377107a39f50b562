#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "services/common/executor.h"
#include "services/common/mutex.h"
#include "services/frontend/placement.h"
#include "services/frontend/shard.h"

namespace vswap {

// Deletes records that no entry names any more, on every node of their set, trying again until they are gone.
//
// What is still queued when the process dies is found again by reconciliation, as orphans. Thread-safe.
class Releaser {
 public:
  Releaser(const Placement& placement, Executor& executor)
      : placement_(placement), executor_(executor) {}

  // `hold` is let go when the last record is deleted.
  void Release(std::vector<Retired> records, std::shared_ptr<void> hold = nullptr);
  // Batches of deletes that have not been answered.
  size_t pending() const;

 private:
  void Delete(NodeId node, std::vector<PageName> names, std::shared_ptr<void> hold,
              Duration retry);

  const Placement& placement_;
  Executor& executor_;
  mutable Mutex mutex_;
  size_t pending_ GUARDED_BY(mutex_) = 0;
};

// Counts the stores that hold room twice: the new record is put, the old one not yet deleted. A store that found the
// overlap reserve used up waits here for one of them to come to its end, in place of refusing its page.
//
// Thread-safe. Waiters run on the executor.
class OverlapGate : public std::enable_shared_from_this<OverlapGate> {
 public:
  explicit OverlapGate(Executor& executor) : executor_(executor) {}

  // Counts one until the pointer is let go.
  std::shared_ptr<void> Hold();
  // Runs `ready` when some hold is let go. False, and nothing is kept, if there is none.
  bool WaitForRelease(std::function<void()> ready);

 private:
  void LetGo();

  Executor& executor_;
  Mutex mutex_;
  size_t held_ GUARDED_BY(mutex_) = 0;
  std::vector<std::function<void()>> waiting_ GUARDED_BY(mutex_);
};

}  // namespace vswap
