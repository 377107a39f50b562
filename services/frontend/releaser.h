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

// Deletes records that no entry names any more, on every node of their set, trying again until they
// are gone.
//
// What is still queued when the process dies is found again by reconciliation, as orphans.
// Thread-safe.
class Releaser {
 public:
  Releaser(const Placement& placement, Executor& executor)
      : placement_(placement), executor_(executor) {}

  // `hold` is let go when the last record is deleted.
  void Release(std::vector<Retired> records, std::shared_ptr<void> hold = nullptr);
  // Deletes records of one node, whatever other nodes hold under these names.
  void ReleaseAt(NodeId node, const std::vector<PageName>& names,
                 const std::shared_ptr<void>& hold = nullptr);
  // Batches of deletes that have not been answered.
  size_t pending() const;

 private:
  void Delete(NodeId node, std::vector<PageName> names, std::shared_ptr<void> hold, Duration retry);

  const Placement& placement_;
  Executor& executor_;
  mutable Mutex mutex_;
  size_t pending_ GUARDED_BY(mutex_) = 0;
};

// Knows whether room is about to come back: from stores that hold room twice (the new record is
// put, the old one not yet deleted) and from frees whose records are not yet deleted. A store that
// found no room waits here in place of refusing its page.
//
// Waiters go one at a time, oldest first: whoever lets go passes its hold on to the next, so that a
// herd does not compress its pages again for room that is enough for one. Bad at letting small
// needs pass by large ones.
//
// Thread-safe. Waiters run on the executor. Invariant: while somebody waits, somebody holds.
class OverlapGate : public std::enable_shared_from_this<OverlapGate> {
 public:
  enum class For : uint8_t { kStore, kFree };

  // Counts as one who may give room back until it is destroyed.
  class Hold {
   public:
    Hold(std::shared_ptr<OverlapGate> gate, For purpose)
        : gate_(std::move(gate)), purpose_(purpose), gives_room_(purpose == For::kFree) {}
    ~Hold() { gate_->LetGo(purpose_, gives_room_); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    // Letting go will mean that room came back.
    void GivesRoom() { gives_room_ = true; }

   private:
    const std::shared_ptr<OverlapGate> gate_;
    const For purpose_;
    bool gives_room_;
  };
  // `room_came`: whether the one that let go gave room back.
  using Ready = std::function<void(std::shared_ptr<Hold> hold, bool room_came)>;

  explicit OverlapGate(Executor& executor) : executor_(executor) {}

  std::shared_ptr<Hold> Take(For purpose);
  // Runs `ready` when it is this waiter's turn. False, and nothing is kept, if no room is coming:
  // to a page that overwrites from anybody, to others from frees only.
  bool WaitForRelease(bool overwrites, Ready ready);

 private:
  void LetGo(For purpose, bool gave_room);

  Executor& executor_;
  Mutex mutex_;
  size_t held_ GUARDED_BY(mutex_) = 0;
  size_t held_by_frees_ GUARDED_BY(mutex_) = 0;
  std::deque<Ready> waiting_ GUARDED_BY(mutex_);
};

}  // namespace vswap
