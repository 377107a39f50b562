#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "services/cluster/coordinator.h"
#include "services/common/executor.h"
#include "services/common/mutex.h"

namespace vswap {

class EtcdConnection;
class EtcdLease;

struct EtcdOptions {
  std::vector<std::string> endpoints;  // HOST:PORT; ParseEtcdEndpoints
  // What the cluster's keys begin with in etcd: several clusters may share one.
  std::string root = "vswap/";
  // Of one call with all its attempts; a Commit is sent within as much again.
  Duration timeout = std::chrono::seconds(5);
  // Between attempts once all endpoints have failed: doubles from one to the other, with jitter.
  Duration backoff_min = std::chrono::milliseconds(50);
  Duration backoff_max = std::chrono::seconds(2);
};

// The coordinator of a service on several machines: etcd, 3.4 or later, over gRPC.
//
// One endpoint is used until it fails, then the next. Reads, and what may be done twice, are tried
// again at the next endpoints until the time is over; all reads are linearizable. A transaction is
// sent once, over a connection that has just answered or is up: after an error its effect is
// unknown (the message says so), but for INVALID_ARGUMENT, NOT_FOUND, and a message that says "not
// sent". Messages name endpoint and keys.
//
// A lease is renewed every third of its time over a stream of its own. A watch has a stream of its
// own too, which begins again behind the last revision it has told, at another endpoint after a
// failure; where etcd has compacted that away it reads all and tells a resync. A member that has
// lost the others ends such streams ("hasleader"). Progress notifications are not used: before
// 3.4.25 etcd could send them ahead of events (etcd issue 15220).
//
// Bad at: transactions of more than 128 changes and comparisons (etcd's --max-txn-ops), and of more
// than 1.5 MiB (--max-request-bytes): INVALID_ARGUMENT. Noticing that a store was put back to an
// older backup. A stopped, not dead, etcd is noticed by a watch after about 10 s.
//
// Thread-safe. Never blocks; callbacks and handlers run on the executor, which outlives this or has
// dropped its tasks. The destructor cancels what is under way (answered CANCELLED, or as it last
// failed), and waits for gRPC, not for callbacks. Leases are left to end by themselves.
class EtcdCoordinator : public Coordinator {
 public:
  // INVALID_ARGUMENT: no endpoint. Does not wait for etcd.
  static StatusOr<std::unique_ptr<EtcdCoordinator>> Open(const EtcdOptions& options,
                                                         Executor& executor);
  ~EtcdCoordinator() override;

  void Get(std::string key, Callback<std::optional<KeyValue>> done) override;
  void List(std::string prefix, Callback<std::vector<KeyValue>> done) override;
  void Commit(Transaction transaction, Callback<TransactionReply> done) override;
  // Whole seconds, rounded up; etcd may grant more (its least is 1.5 elections, rounded up).
  void GrantLease(Duration ttl, std::function<void(Status)> lost, Callback<Lease> done) override;
  void RevokeLease(LeaseId lease, Callback<LeaseId> done) override;
  std::unique_ptr<WatchHandle> Watch(std::string prefix, uint64_t from_revision,
                                     WatchHandler handler) override;

 private:
  EtcdCoordinator(const EtcdOptions& options, Executor& executor);
  template <typename T>
  Callback<T> OnExecutor(Callback<T> done);
  void CommitAt(size_t endpoint, const Transaction& transaction, Callback<TransactionReply> done);
  // Until when it holds: see Lease.
  std::shared_ptr<const std::atomic<TimePoint::rep>> Keep(const Lease& lease, TimePoint asked_at,
                                                          std::function<void(Status)> lost);
  std::shared_ptr<EtcdLease> TakeLease(LeaseId lease);

  Executor& executor_;
  const std::shared_ptr<EtcdConnection> connection_;
  Mutex mutex_;
  std::map<LeaseId, std::weak_ptr<EtcdLease>> leases_ GUARDED_BY(mutex_);
};

}  // namespace vswap
