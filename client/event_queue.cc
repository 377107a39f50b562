#include "client/event_queue.h"

#include <grpcpp/alarm.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace vswap::client {
namespace {

class OnceEvent : public Event {
 public:
  explicit OnceEvent(std::function<void(bool)> event) : event_(std::move(event)) {}
  void Run(bool ok) override {
    event_(ok);
    delete this;
  }

 private:
  const std::function<void(bool)> event_;
};

}  // namespace

void* EventQueue::Tag(std::function<void(bool ok)> event) {
  return Tag(*new OnceEvent(std::move(event)));
}

void EventQueue::Post(std::function<void()> task) {
  auto alarm = std::make_shared<grpc::Alarm>();
  grpc::Alarm* const raw = alarm.get();
  raw->Set(&queue_, std::chrono::system_clock::now(),
           Tag([alarm = std::move(alarm), task = std::move(task)](bool) { task(); }));
}

bool EventQueue::LeadOrFinish(Waiter& waiter) {
  MutexLock lock(mutex_);
  waiting_.PushBack(waiter);
  while (leading_ && !waiter.finished_) {
    waiter.wake_.Wait(mutex_);
  }
  waiting_.Remove(waiter);
  if (waiter.finished_) {
    PassOn();  // it may have been meant for this thread
    return false;
  }
  leading_ = true;
  leads_ = &waiter;
  leader_ = std::this_thread::get_id();
  return true;
}

void EventQueue::StopLeading() {
  MutexLock lock(mutex_);
  leading_ = false;
  leads_ = nullptr;
  leader_ = std::thread::id();
  PassOn();
}

void EventQueue::PassOn() {
  if (leading_) {
    return;
  }
  if (Waiter* next = waiting_.First()) {
    next->wake_.NotifyOne();
  } else if (holds_ > 0) {
    own_wake_.NotifyOne();
  }
}

void EventQueue::Await(Waiter& waiter) {
  if (LeadOrFinish(waiter)) {
    while (!waiter.finished_) {
      RunOne(next_tick_);
    }
    StopLeading();
  }
}

void EventQueue::Finish(Waiter& waiter) {
  bool asleep = false;
  {
    MutexLock lock(mutex_);
    waiter.finished_ = true;
    waiter.wake_.NotifyOne();
    asleep = leads_ == &waiter && !OnThread();
  }
  if (asleep) {
    Post([] {});  // it looks only after an event
  }
}

void EventQueue::Hold() {
  MutexLock lock(mutex_);
  ++holds_;
  own_wake_.NotifyOne();
}

void EventQueue::Unhold() {
  MutexLock lock(mutex_);
  --holds_;
}

void EventQueue::RunTick() {
  interval_ = tick_();
  next_tick_ = std::chrono::system_clock::now() + interval_;
}

bool EventQueue::RunOne(Time deadline) {
  void* tag = nullptr;
  bool ok = false;
  const auto status = queue_.AsyncNext(&tag, &ok, deadline);
  if (status == grpc::CompletionQueue::SHUTDOWN) {
    drained_ = true;
  }
  if (status == grpc::CompletionQueue::GOT_EVENT) {
    static_cast<Event*>(tag)->Run(ok);
    --operations_;
  }
  const Time now = std::chrono::system_clock::now();
  // A wall clock that is set back must not stop the ticks.
  if (std::exchange(hurry_, false) || now >= next_tick_ || next_tick_ - now > interval_) {
    RunTick();
  }
  if (stopping_ && operations_ == 0 && !shut_down_) {
    shut_down_ = true;
    queue_.Shutdown();
  }
  return status == grpc::CompletionQueue::GOT_EVENT;
}

void EventQueue::Run() {
  while (!drained_) {
    bool at_once = stopping_;
    {
      MutexLock lock(mutex_);
      if (leading_ || !waiting_.empty() || (holds_ == 0 && !at_once)) {
        own_wake_.WaitUntil(mutex_, std::chrono::steady_clock::now() + kLook);
      }
      if (leading_ || !waiting_.empty()) {
        continue;  // they do it
      }
      leading_ = true;
      leader_ = std::this_thread::get_id();
      at_once = at_once || holds_ > 0;
    }
    if (at_once) {
      RunOne(next_tick_);
    } else {
      while (RunOne(std::chrono::system_clock::now())) {
      }
    }
    StopLeading();
  }
}

}  // namespace vswap::client
