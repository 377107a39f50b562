#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>

// std::mutex with Clang's thread-safety attributes, which do not see through libstdc++'s. Not
// absl::Mutex: Debian's build of it gives false reports under ThreadSanitizer.
#if defined(__clang__)
#define VSWAP_ATTRIBUTE(x) __attribute__((x))
#else
#define VSWAP_ATTRIBUTE(x)
#endif

// absl's older names of the same: whichever header comes first.
#undef GUARDED_BY
#undef PT_GUARDED_BY
#define GUARDED_BY(x) VSWAP_ATTRIBUTE(guarded_by(x))
#define PT_GUARDED_BY(x) VSWAP_ATTRIBUTE(pt_guarded_by(x))
#define REQUIRES(...) VSWAP_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) VSWAP_ATTRIBUTE(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) VSWAP_ATTRIBUTE(locks_excluded(__VA_ARGS__))

namespace vswap {

class VSWAP_ATTRIBUTE(capability("mutex")) Mutex {
 public:
  void Lock() VSWAP_ATTRIBUTE(acquire_capability()) { mutex_.lock(); }
  void Unlock() VSWAP_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  // Tells the analysis what it cannot see, in a function that another calls under the lock. Checks
  // nothing.
  void AssertHeld() const VSWAP_ATTRIBUTE(assert_capability(this)) {}

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class VSWAP_ATTRIBUTE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) VSWAP_ATTRIBUTE(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() VSWAP_ATTRIBUTE(release_capability()) { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class VSWAP_ATTRIBUTE(capability("mutex")) SharedMutex {
 public:
  void Lock() VSWAP_ATTRIBUTE(acquire_capability()) { mutex_.lock(); }
  void Unlock() VSWAP_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  void LockShared() VSWAP_ATTRIBUTE(acquire_shared_capability()) { mutex_.lock_shared(); }
  void UnlockShared() VSWAP_ATTRIBUTE(release_shared_capability()) { mutex_.unlock_shared(); }

 private:
  std::shared_mutex mutex_;
};

class VSWAP_ATTRIBUTE(scoped_lockable) WriterLock {
 public:
  explicit WriterLock(SharedMutex& mutex) VSWAP_ATTRIBUTE(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.Lock();
  }
  ~WriterLock() VSWAP_ATTRIBUTE(release_capability()) { mutex_.Unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class VSWAP_ATTRIBUTE(scoped_lockable) ReaderLock {
 public:
  explicit ReaderLock(SharedMutex& mutex) VSWAP_ATTRIBUTE(acquire_shared_capability(mutex))
      : mutex_(mutex) {
    mutex_.LockShared();
  }
  ~ReaderLock() VSWAP_ATTRIBUTE(release_capability()) { mutex_.UnlockShared(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class CondVar {
 public:
  // Waits may wake spuriously: loop over the condition.
  void Wait(Mutex& mutex) VSWAP_ATTRIBUTE(requires_capability(mutex)) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False when the time is over.
  bool WaitUntil(Mutex& mutex, std::chrono::steady_clock::time_point deadline)
      VSWAP_ATTRIBUTE(requires_capability(mutex)) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool in_time = condition_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace vswap
