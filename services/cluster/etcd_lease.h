#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "services/cluster/coordinator.h"
#include "services/common/executor.h"
#include "services/common/mutex.h"

namespace vswap {

class EtcdConnection;

// Keeps one lease alive, over a long stream, until it is stopped or lost. It counts as valid for
// its time from the moment that the last renewal which was answered was sent: etcd counts from
// later.
//
// Where no answer comes within a third of its time, the stream goes to the next endpoint. etcd's
// word that there is no such lease is believed the second time: a leader that has not applied the
// grant yet says it too (etcd issues 6978 and 13915).
//
// Thread-safe; owned by a shared_ptr, which its timers and its stream hold too. `lost` is called on
// the executor. Ends when the connection is closed.
class EtcdLease : public std::enable_shared_from_this<EtcdLease> {
 public:
  // `asked_at`: when it was granted at the earliest.
  EtcdLease(EtcdConnection& connection, Lease lease, TimePoint asked_at,
            std::function<void(Status)> lost);
  void Start() { StepSoon(); }
  // `lost` is not called any more.
  void Stop();
  // See Lease.
  std::shared_ptr<const std::atomic<TimePoint::rep>> valid_until() const {
    return told_valid_until_;
  }

 private:
  class Stream;

  // Does what the time asks for, and sets the alarm for the next thing.
  void Step();
  TimePoint StepLocked(TimePoint now) REQUIRES(mutex_);
  void AwakeAtLocked(TimePoint due, TimePoint now) REQUIRES(mutex_);
  void OpenLocked() REQUIRES(mutex_);
  void AskLocked(TimePoint now) REQUIRES(mutex_);
  // Forgets the stream, whose end is of no interest any more.
  void DropStreamLocked() REQUIRES(mutex_);
  void LoseLocked(const Status& why) REQUIRES(mutex_);

  // From the stream, on gRPC's threads.
  void OnWritten(Stream* stream);
  // `ttl_s`: 0 where there is no such lease.
  void OnAnswer(Stream* stream, int64_t ttl_s);
  void OnStreamEnd(Stream* stream, const std::string& why);
  void StepSoon();

  EtcdConnection& connection_;
  const LeaseId id_;
  Mutex mutex_;
  std::function<void(Status)> lost_ GUARDED_BY(mutex_);
  Duration ttl_ GUARDED_BY(mutex_);
  TimePoint valid_until_ GUARDED_BY(mutex_);
  const std::shared_ptr<std::atomic<TimePoint::rep>> told_valid_until_;
  TimePoint renew_at_ GUARDED_BY(mutex_);   // not before
  TimePoint reopen_at_ GUARDED_BY(mutex_);  // not before
  TimePoint asked_at_ GUARDED_BY(mutex_);   // of the question that has no answer yet
  TimePoint alarm_ GUARDED_BY(mutex_) = TimePoint::max();
  std::shared_ptr<Stream> stream_ GUARDED_BY(mutex_);
  bool asking_ GUARDED_BY(mutex_) = false;   // a question has no answer yet
  bool writing_ GUARDED_BY(mutex_) = false;  // gRPC still has it
  bool ended_ GUARDED_BY(mutex_) = false;
  int denials_ GUARDED_BY(mutex_) = 0;   // in a row: there is no such lease
  int failures_ GUARDED_BY(mutex_) = 0;  // of streams, in a row
};

}  // namespace vswap
