#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
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
// For a node that does not answer as the registered incarnation, what is to be deleted waits, as
// much as kWaitingMax; it is asked now and then, and told the rest once it answers. What is
// dropped, or still waits when the process dies, is found again by reconciliation, as orphans. A
// node that has left is told nothing. Thread-safe.
class Releaser {
 public:
  static constexpr size_t kWaitingMax = 1 << 20;  // records a node

  Releaser(const Placement& placement, Executor& executor)
      : placement_(placement), executor_(executor) {}

  // `hold` is let go when the last record is deleted, but for those of nodes that do not answer.
  void Release(std::vector<Retired> records, std::shared_ptr<void> hold = nullptr);
  // Deletes records of one node, whatever other nodes hold under these names.
  void ReleaseAt(NodeId node, std::vector<PageName> names,
                 const std::shared_ptr<void>& hold = nullptr);
  // Batches of deletes that have not been answered.
  size_t pending() const;
  // Whether there is none but of nodes that have not answered for seconds.
  bool Idle() const;
  // Records that were dropped.
  uint64_t dropped() const { return dropped_; }

 private:
  struct Batch {
    std::vector<PageName> names;
    std::shared_ptr<void> hold;
  };
  struct Queue {
    size_t under_way = 0;  // batches
    size_t posted = 0;     // tasks that will send one
    std::deque<Batch> waiting;
    size_t names_waiting = 0;
    // Nothing but one batch now and then is sent.
    bool silent = false;
    Duration retry{};

    // Lets a batch wait. Returns the records dropped for it.
    size_t Add(Batch batch);
  };

  void Send(NodeId node, Batch batch);
  void OnAnswer(NodeId node, Batch batch, bool answered);
  // One that waits, if any does.
  void SendNext(NodeId node);
  static constexpr size_t kUnderWayMax = 16;  // of what waited

  const Placement& placement_;
  Executor& executor_;
  std::atomic<uint64_t> dropped_{0};
  mutable Mutex mutex_;
  std::map<NodeId, Queue> queues_ GUARDED_BY(mutex_);
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
  // How often room came back so far that such a page may have.
  uint64_t Returns(bool overwrites) const { return overwrites ? returns_ : returns_by_frees_; }

 private:
  void LetGo(For purpose, bool gave_room);

  Executor& executor_;
  Mutex mutex_;
  size_t held_ GUARDED_BY(mutex_) = 0;
  size_t held_by_frees_ GUARDED_BY(mutex_) = 0;
  // Every store looks at them; changed under the mutex, before the hold is gone.
  std::atomic<uint64_t> returns_{0};
  std::atomic<uint64_t> returns_by_frees_{0};
  std::deque<Ready> waiting_ GUARDED_BY(mutex_);
};

}  // namespace vswap
