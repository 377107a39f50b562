#pragma once

#include <map>

#include "services/cluster/coordinator.h"
#include "services/cluster/lease_table.h"
#include "services/cluster/watch_hub.h"
#include "services/common/executor.h"
#include "services/common/mutex.h"
#include "tests/support/call_faults.h"

namespace vswap {

// A coordinator in a map, for tests. Thread-safe. Commits take effect within the call; the answer
// comes within the call too, or, with an executor, as a task posted to it. So do the calls of
// watches. Leases end when a test says so.
class MemoryCoordinator : public Coordinator {
 public:
  explicit MemoryCoordinator(Executor* executor = nullptr)
      : executor_(executor), watches_(kWatchedRevisions, 0, executor) {}

  void Get(std::string key, Callback<std::optional<KeyValue>> done) override;
  void List(std::string prefix, Callback<std::vector<KeyValue>> done) override;
  void Commit(Transaction transaction, Callback<TransactionReply> done) override;
  void GrantLease(Duration ttl, std::function<void(Status)> lost, Callback<Lease> done) override;
  void RevokeLease(LeaseId lease, Callback<LeaseId> done) override;
  std::unique_ptr<WatchHandle> Watch(std::string prefix, uint64_t from_revision,
                                     WatchHandler handler) override;

  // The lease's time is over: its keys go and its owner hears of it.
  void ExpireLease(LeaseId lease);
  // Watches do not know the changes up to here any more.
  void Compact(uint64_t revision) { watches_.Compact(revision); }
  // For all calls but Watch.
  CallFaults& faults() { return faults_; }

 private:
  static constexpr size_t kWatchedRevisions = 100000;

  template <typename T>
  void Answer(StatusOr<T> answer, Callback<T> done);
  std::optional<KeyValue> Find(const std::string& key);
  std::vector<KeyValue> FindAll(const std::string& prefix);
  std::vector<KeyValue> FindAllLocked(const std::string& prefix) REQUIRES(mutex_);
  StatusOr<TransactionReply> DoCommit(const Transaction& transaction);
  StatusOr<TransactionReply> DoCommitLocked(const Transaction& transaction) REQUIRES(mutex_);
  // What was to be called when it was lost.
  std::function<void(Status)> EndLease(LeaseId lease);

  Executor* const executor_;
  CallFaults faults_;
  Mutex mutex_;
  std::map<std::string, KeyValue> records_ GUARDED_BY(mutex_);
  uint64_t revision_ GUARDED_BY(mutex_) = 0;
  LeaseTable leases_ GUARDED_BY(mutex_);
  std::map<LeaseId, std::function<void(Status)>> lost_ GUARDED_BY(mutex_);
  WatchHub watches_;
};

}  // namespace vswap
