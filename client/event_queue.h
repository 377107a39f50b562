#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "services/common/intrusive_list.h"
#include "services/common/mutex.h"

namespace vswap::client {

// What the completion of one of gRPC's operations does. Part of whoever begins the operation; may
// be begun again once it runs.
class Event {
 public:
  virtual ~Event() = default;
  virtual void Run(bool ok) = 0;
};

// The completion queue of one client, its tags and their number, and who runs its events: at any
// time one thread, the leader. A thread that waits for its call leads if nobody does, and then
// finds its answer itself, without a wake from another thread (about 45 us on an idle processor);
// with its answer it passes the lead to another one that waits. The queue's own thread leads while
// somebody must and nobody waits (see Hold), and else looks in every kLook.
//
// Thread-safe. Events, and the tick, run on the leading thread only and so one after the other.
class EventQueue {
 public:
  static constexpr std::chrono::milliseconds kLook{20};
  using Tick = std::function<std::chrono::milliseconds()>;

  // A thread that waits until it is told that something is finished. One use.
  class Waiter : private ListNode<Waiter, struct InWaiting> {
   private:
    friend class EventQueue;
    template <typename, typename>
    friend class vswap::IntrusiveList;
    CondVar wake_;
    std::atomic<bool> finished_{false};  // set under the queue's mutex
  };

  // `tick` runs at least as often as the interval that it returned last.
  explicit EventQueue(Tick tick) : tick_(std::move(tick)) {}

  // The tag for an operation that is begun at once.
  void* Tag(Event& event) {
    ++operations_;
    return &event;
  }
  // One for an event that is seldom: made here, and deleted when it has run.
  void* Tag(std::function<void(bool ok)> event);
  grpc::CompletionQueue* queue() { return &queue_; }
  // Runs it as an event, soon.
  void Post(std::function<void()> task);

  // Returns when it is finished; runs events meanwhile, or waits for who does. Not within an event.
  void Await(Waiter& waiter);
  // The waiter may be gone afterwards.
  void Finish(Waiter& waiter);
  // While there is a hold, events are run at once though nobody waits.
  void Hold();
  void Unhold();

  // The own thread: until Stop was called and every operation has come to its end.
  void Run();
  // Has the tick run after the event that is running. Within an event.
  void Hurry() { hurry_ = true; }
  // No operation is begun after this, but for those that end a stream. Within an event.
  void Stop() { stopping_ = true; }
  // Whether the caller is within an event.
  bool OnThread() const { return leader_ == std::this_thread::get_id(); }

 private:
  using Time = std::chrono::system_clock::time_point;  // as gRPC's deadlines

  // True when the caller leads, false when the waiter is finished.
  bool LeadOrFinish(Waiter& waiter);
  void StopLeading();
  void PassOn() REQUIRES(mutex_);
  // For the leader: an event, if there is one before the deadline, and the tick if it is time.
  bool RunOne(Time deadline);
  void RunTick();

  const Tick tick_;
  grpc::CompletionQueue queue_;
  std::atomic<uint64_t> operations_{0};

  Mutex mutex_;
  bool leading_ GUARDED_BY(mutex_) = false;
  const Waiter* leads_ GUARDED_BY(mutex_) = nullptr;  // null also while the own thread leads
  IntrusiveList<Waiter, InWaiting> waiting_ GUARDED_BY(mutex_);
  size_t holds_ GUARDED_BY(mutex_) = 0;
  CondVar own_wake_;
  std::atomic<std::thread::id> leader_{};

  // The leader's.
  Time next_tick_{};
  std::chrono::milliseconds interval_{0};
  bool hurry_ = false;
  bool shut_down_ = false;             // begun
  std::atomic<bool> stopping_{false};  // these two are looked at without the lead
  std::atomic<bool> drained_{false};
};

}  // namespace vswap::client
