#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "services/cluster/node.h"
#include "services/common/mutex.h"

namespace vswap {

// The calls of the interfaces below the front-end.
enum class CallKind : uint8_t {
  kPut,
  kGet,
  kDelete,
  kInventory,
  kVerify,
  kLogWrite,
  kLogSeal,
  kLogRead,
  kCoordinatorGet,
  kCoordinatorList,
  kCoordinatorCommit,
};

// What becomes of one call. "Let go": FaultScript::LetGo.
enum class Fault : uint8_t {
  kNone,
  kFailBefore,        // no effect, UNAVAILABLE
  kFailAfter,         // the effect, UNAVAILABLE: the answer was lost
  kFailThenEffect,    // UNAVAILABLE, and the effect once it is let go
  kHoldBefore,        // nothing before it is let go
  kHoldAfter,         // the effect, and its answer once it is let go
  kTwice,             // the message arrives twice; nobody hears the second answer
  kTwiceLate,         // the same, for the second time once it is let go
  kNeverArrives,      // no effect, no answer
  kNeverAnswered,     // the effect, no answer
  kCorruptBytes,      // a byte of a page is another one
  kCorruptFields,     // what stands beside the bytes is damaged
  kOtherIncarnation,  // somebody else answers
  kShort,             // one answer less than asked for
};

inline const char* Name(CallKind kind) {
  static constexpr const char* kNames[] = {"put",
                                           "get",
                                           "delete",
                                           "inventory",
                                           "verify",
                                           "log write",
                                           "log seal",
                                           "log read",
                                           "coordinator get",
                                           "coordinator list",
                                           "coordinator commit"};
  return kNames[static_cast<size_t>(kind)];
}
inline const char* Name(Fault fault) {
  static constexpr const char* kNames[] = {"none",
                                           "fail before",
                                           "fail after",
                                           "fail, then the effect",
                                           "hold before",
                                           "hold after",
                                           "twice",
                                           "twice, late",
                                           "never arrives",
                                           "never answered",
                                           "corrupt bytes",
                                           "corrupt fields",
                                           "other incarnation",
                                           "short"};
  return kNames[static_cast<size_t>(fault)];
}

// Numbers the calls that the fault bodies (FaultyNode, FaultyTableLog, FaultyCoordinator) pass on,
// and says what becomes of each. Without instructions they are transparent. Thread-safe; what is
// let go runs on the caller's thread.
class FaultScript {
 public:
  // Numbers calls from 0 from now on; instructions that were not used are forgotten.
  void Watch() {
    MutexLock lock(mutex_);
    watching_ = true;
    seen_.clear();
    faults_.clear();
  }
  void Unwatch() {
    MutexLock lock(mutex_);
    watching_ = false;
    faults_.clear();
  }
  void Inject(size_t call, Fault fault) {
    MutexLock lock(mutex_);
    faults_[call] = fault;
  }
  // Every call of these kinds is held before its effect, until they are others.
  void Hold(std::initializer_list<CallKind> kinds) {
    MutexLock lock(mutex_);
    held_kinds_.assign(kinds);
  }
  // The kinds of the calls since Watch, in order.
  std::vector<CallKind> seen() {
    MutexLock lock(mutex_);
    return seen_;
  }

  size_t kept() {
    MutexLock lock(mutex_);
    return kept_.size();
  }
  std::vector<CallKind> kept_kinds() {
    MutexLock lock(mutex_);
    std::vector<CallKind> kinds;
    for (const auto& [kind, task] : kept_) {
      kinds.push_back(kind);
    }
    return kinds;
  }
  void LetGo(size_t i) {
    std::function<void()> task;
    {
      MutexLock lock(mutex_);
      task = std::move(kept_.at(i).second);
      kept_.erase(kept_.begin() + static_cast<ptrdiff_t>(i));
    }
    task();
  }
  void LetGo() {
    for (size_t left = kept(); left > 0; --left) {
      LetGo(0);
    }
  }
  // What was kept never happens: its caller was killed.
  void Drop() {
    std::deque<std::pair<CallKind, std::function<void()>>> kept;
    std::vector<std::shared_ptr<void>> unanswered;
    MutexLock lock(mutex_);
    kept.swap(kept_);
    unanswered.swap(unanswered_);
  }

  // Whether calls just pass: the caller may hand them on itself.
  bool transparent() {
    MutexLock lock(mutex_);
    return !watching_ && held_kinds_.empty();
  }

  // `call` may run several times. `corrupt` damages an answer; empty: the fault concerns the
  // request and `call` has seen to it.
  template <typename T>
  void Pass(CallKind kind, const std::function<void(Fault, Callback<T>)>& call, Callback<T> done,
            const std::function<void(Fault, T&)>& corrupt = {}) {
    const Fault fault = Next(kind);
    const auto nobody = [](const StatusOr<T>&) {};
    const auto failure = [] { return MakeError(StatusCode::kUnavailable, "a fault of the test"); };
    switch (fault) {
      case Fault::kNone:
        return call(fault, std::move(done));
      case Fault::kFailBefore:
        return done(failure());
      case Fault::kFailAfter:
        call(fault, nobody);
        return done(failure());
      case Fault::kFailThenEffect:
        Keep(kind, [call, nobody] { call(Fault::kNone, nobody); });
        return done(failure());
      case Fault::kHoldBefore:
        return Keep(kind, [call, done = std::move(done)] { call(Fault::kNone, done); });
      case Fault::kHoldAfter:
        return call(fault, [this, kind, done = std::move(done)](StatusOr<T> answer) {
          const auto shared = std::make_shared<StatusOr<T>>(std::move(answer));
          Keep(kind, [shared, done] { done(std::move(*shared)); });
        });
      case Fault::kTwice:
        call(fault, std::move(done));
        return call(fault, nobody);
      case Fault::kTwiceLate:
        Keep(kind, [call, nobody] { call(Fault::kNone, nobody); });
        return call(fault, std::move(done));
      case Fault::kNeverArrives:
        return Forget(std::make_shared<Callback<T>>(std::move(done)));
      case Fault::kNeverAnswered:
        call(fault, nobody);
        return Forget(std::make_shared<Callback<T>>(std::move(done)));
      default:
        return call(fault, [fault, corrupt, done = std::move(done)](StatusOr<T> answer) {
          if (answer.ok() && corrupt) {
            corrupt(fault, *answer);
          }
          done(std::move(answer));
        });
    }
  }

 private:
  Fault Next(CallKind kind) {
    MutexLock lock(mutex_);
    if (watching_) {
      const auto fault = faults_.find(seen_.size());
      seen_.push_back(kind);
      if (fault != faults_.end()) {
        return fault->second;
      }
    }
    const bool held = std::ranges::find(held_kinds_, kind) != held_kinds_.end();
    return held ? Fault::kHoldBefore : Fault::kNone;
  }
  void Keep(CallKind kind, std::function<void()> task) {
    MutexLock lock(mutex_);
    kept_.emplace_back(kind, std::move(task));
  }
  void Forget(std::shared_ptr<void> callback) {
    MutexLock lock(mutex_);
    unanswered_.push_back(std::move(callback));
  }

  Mutex mutex_;
  bool watching_ GUARDED_BY(mutex_) = false;
  std::vector<CallKind> held_kinds_ GUARDED_BY(mutex_);
  std::vector<CallKind> seen_ GUARDED_BY(mutex_);
  std::map<size_t, Fault> faults_ GUARDED_BY(mutex_);
  std::deque<std::pair<CallKind, std::function<void()>>> kept_ GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<void>> unanswered_ GUARDED_BY(mutex_);  // alive, as in a real body
};

}  // namespace vswap
