#pragma once

#include <deque>
#include <functional>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "services/common/executor.h"
#include "services/common/mutex.h"

namespace vswap {

class SteadyClock : public Clock {
 public:
  TimePoint Now() const override { return std::chrono::steady_clock::now(); }
};

// Seeded from the kernel.
class SystemRandom : public Random {
 public:
  uint64_t Next64() override;
};

// A fixed number of threads that run tasks in the order posted. Thread-safe.
// The destructor stops: tasks that have not begun are dropped, those that run are waited for.
class ThreadPool : public Executor {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool() override;
  void Post(Task task) override;
  void PostAfter(Duration delay, Task task) override;
  void Dispatch(Task task) override;
  // Stops as the destructor does; later posts are dropped. Idempotent; not from a pool thread.
  void Stop();

 private:
  void Run();

  Mutex mutex_;
  CondVar wake_;
  std::deque<Task> ready_ GUARDED_BY(mutex_);
  std::multimap<TimePoint, Task> timed_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::jthread> threads_;
};

// Runs tasks when it is told to, in one thread with its own time. For tests and simulation.
// Thread-confined.
class ManualExecutor : public Executor, public Clock {
 public:
  void Post(Task task) override { ready_.push_back(std::move(task)); }
  void PostAfter(Duration delay, Task task) override {
    timed_.emplace(now_ + delay, std::move(task));
  }
  void Dispatch(Task task) override { task(); }
  TimePoint Now() const override { return now_; }

  // Runs one ready task; false if there is none.
  bool RunOne();
  // Runs ready tasks until there are none.
  void RunReady();
  // Moves time forward, running what becomes due, in order of time.
  void Advance(Duration by);
  // Drops all tasks, and those that their destructors post: what kill -9 does to them.
  void DropTasks();

 private:
  TimePoint now_{};
  std::deque<Task> ready_;
  std::multimap<TimePoint, Task> timed_;
};

// SplitMix64; the same seed gives the same numbers. Thread-confined.
class SeededRandom : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  uint64_t Next64() override;
  // Uniform enough for tests: 0..bound-1.
  uint64_t Below(uint64_t bound) { return Next64() % bound; }

 private:
  uint64_t state_;
};

}  // namespace vswap
