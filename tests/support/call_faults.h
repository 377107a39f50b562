#pragma once

#include "services/common/mutex.h"
#include "services/common/status.h"

namespace vswap {

// Which of a fake's next calls fail, and when. Thread-safe.
class CallFaults {
 public:
  enum class Moment { kNone, kBeforeEffect, kAfterEffect };

  // What those that fail answer in place of UNAVAILABLE.
  void SetCode(StatusCode code) {
    MutexLock lock(mutex_);
    code_ = code;
  }
  // The next `calls` change nothing and answer UNAVAILABLE.
  void FailBeforeEffect(int calls) {
    MutexLock lock(mutex_);
    before_ += calls;
  }
  // The `calls` after those take effect and answer UNAVAILABLE: the answer was lost.
  void FailAfterEffect(int calls) {
    MutexLock lock(mutex_);
    after_ += calls;
  }
  // No further faults.
  void Clear() {
    MutexLock lock(mutex_);
    before_ = after_ = 0;
  }
  Moment Next() {
    MutexLock lock(mutex_);
    if (before_ > 0) {
      --before_;
      return Moment::kBeforeEffect;
    }
    if (after_ > 0) {
      --after_;
      return Moment::kAfterEffect;
    }
    return Moment::kNone;
  }
  // What a call answers, given its true answer.
  template <typename T, typename Effect>
  StatusOr<T> Apply(Effect effect) {
    const Moment moment = Next();
    if (moment == Moment::kBeforeEffect) {
      return MakeError(code(), "fault before the effect");
    }
    StatusOr<T> answer = effect();
    if (moment == Moment::kAfterEffect) {
      return MakeError(code(), "fault after the effect");
    }
    return answer;
  }

 private:
  StatusCode code() {
    MutexLock lock(mutex_);
    return code_;
  }

  Mutex mutex_;
  StatusCode code_ GUARDED_BY(mutex_) = StatusCode::kUnavailable;
  int before_ GUARDED_BY(mutex_) = 0;
  int after_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vswap
