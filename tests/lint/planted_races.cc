// Not built: thread_safety.py shows with it that the analysis finds what it is for.
#include "services/common/mutex.h"

namespace vswap {

class Planted {
 public:
  void Right() {
    MutexLock lock(mutex_);
    AddLocked();
    while (value_ < 1) {
      changed_.Wait(mutex_);
    }
  }
  int ReadWithoutLock() const {
    return value_;  // wrong
  }
  void CallWithoutLock() {
    AddLocked();  // wrong
  }
  void WaitWithoutLock() {
    changed_.Wait(mutex_);  // wrong
  }
  void LockTwice() {
    MutexLock outer(mutex_);
    MutexLock inner(mutex_);  // wrong
  }
  void CallLocked() {
    MutexLock lock(mutex_);
    NotUnderLock();  // wrong
  }
  void WriteWithReaderLock() {
    ReaderLock lock(shared_mutex_);
    shared_value_ = 1;  // wrong
  }

 private:
  void AddLocked() REQUIRES(mutex_) { ++value_; }
  void NotUnderLock() EXCLUDES(mutex_) {}

  mutable Mutex mutex_;
  CondVar changed_;
  int value_ GUARDED_BY(mutex_) = 0;
  SharedMutex shared_mutex_;
  int shared_value_ GUARDED_BY(shared_mutex_) = 0;
};

}  // namespace vswap
