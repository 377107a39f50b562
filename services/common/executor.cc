#include "services/common/executor.h"

#include <utility>

#include "services/common/ids.h"
#include "services/common/thread_pool.h"

namespace vswap {
namespace {

thread_local const ThreadPool* current_pool = nullptr;

}  // namespace

uint64_t SystemRandom::Next64() {
  thread_local std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

uint64_t SeededRandom::Next64() {
  state_ += 0x9e3779b97f4a7c15u;
  return Mix64(state_);
}

ThreadPool::ThreadPool(int threads) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Run(); });
  }
}

ThreadPool::~ThreadPool() { Stop(); }

void ThreadPool::Stop() {
  std::deque<Task> dropped_ready;
  std::multimap<TimePoint, Task> dropped_timed;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    dropped_ready.swap(ready_);
    dropped_timed.swap(timed_);
  }
  wake_.NotifyAll();
  threads_.clear();
}

void ThreadPool::Post(Task task) {
  {
    MutexLock lock(mutex_);
    if (stopping_) {
      return;
    }
    ready_.push_back(std::move(task));
  }
  wake_.NotifyOne();
}

void ThreadPool::PostAfter(Duration delay, Task task) {
  {
    MutexLock lock(mutex_);
    if (stopping_) {
      return;
    }
    timed_.emplace(std::chrono::steady_clock::now() + delay, std::move(task));
  }
  wake_.NotifyOne();
}

void ThreadPool::Dispatch(Task task) {
  if (current_pool == this) {
    task();
  } else {
    Post(std::move(task));
  }
}

void ThreadPool::Run() {
  current_pool = this;
  mutex_.Lock();
  while (!stopping_) {
    const TimePoint now = std::chrono::steady_clock::now();
    while (!timed_.empty() && timed_.begin()->first <= now) {
      ready_.push_back(std::move(timed_.begin()->second));
      timed_.erase(timed_.begin());
    }
    if (!ready_.empty()) {
      Task task = std::move(ready_.front());
      ready_.pop_front();
      mutex_.Unlock();
      task();
      task = nullptr;
      mutex_.Lock();
    } else if (!timed_.empty()) {
      const TimePoint due = timed_.begin()->first;
      wake_.WaitUntil(mutex_, due);
    } else {
      wake_.Wait(mutex_);
    }
  }
  mutex_.Unlock();
}

bool ManualExecutor::RunOne() {
  if (ready_.empty()) {
    return false;
  }
  Task task = std::move(ready_.front());
  ready_.pop_front();
  task();
  return true;
}

void ManualExecutor::RunReady() {
  while (RunOne()) {
  }
}

void ManualExecutor::Advance(Duration by) {
  const TimePoint end = now_ + by;
  RunReady();
  while (!timed_.empty() && timed_.begin()->first <= end) {
    now_ = timed_.begin()->first;
    ready_.push_back(std::move(timed_.begin()->second));
    timed_.erase(timed_.begin());
    RunReady();
  }
  now_ = end;
}

void ManualExecutor::DropTasks() {
  while (!ready_.empty() || !timed_.empty()) {
    std::exchange(ready_, {}).clear();
    std::exchange(timed_, {}).clear();
  }
}

}  // namespace vswap
