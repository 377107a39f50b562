#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

namespace vswap {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// Time, threads and randomness come to the cores through these three, so that one thread with
// virtual time can run a whole cluster. All are thread-safe.

class Clock {
 public:
  virtual ~Clock() = default;
  // Monotonic.
  virtual TimePoint Now() const = 0;
};

class Executor {
 public:
  using Task = std::function<void()>;
  virtual ~Executor() = default;
  // Runs the task later, never within the call. After shutdown has begun, tasks are dropped.
  virtual void Post(Task task) = 0;
  // Runs the task not before `delay` has passed.
  virtual void PostAfter(Duration delay, Task task) = 0;
  // Runs the task within the call where the caller already is one of this executor's threads, else
  // posts it.
  virtual void Dispatch(Task task) = 0;
};

class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t Next64() = 0;
};

}  // namespace vswap
