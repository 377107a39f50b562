#pragma once

#include <rocksdb/db.h>

#include <memory>

#include "services/cluster/coordinator.h"
#include "services/cluster/lease_table.h"
#include "services/cluster/watch_hub.h"
#include "services/common/executor.h"
#include "services/common/mutex.h"

namespace vswap {

// The coordinator of a service that lives in one process: a small RocksDB of its own, in
// DIR/coordinator, so that its records outlive whatever happens to pages. For several machines
// there is etcd.
//
// Bad at: rates. Each commit waits for the disk and for the one before it.
//
// Thread-safe, linearizable. Works on the executor, which has stopped before this ends. A commit is
// durable, also through a loss of power, when it has answered; after a failed one its effect is
// unknown, as the interface says.
//
// A lease lasts until it is revoked or the process ends: the keys of the leases of the process
// before are deleted by Open. Watches know the changes of the last kWatchedRevisions of this
// process.
//
// Format: key "k" + key, value revision (8 bytes, little endian) + value; "l" + key, empty: the key
// has a lease; "revision": the store's revision (8 bytes); "format": "1".
class LocalCoordinator : public Coordinator {
 public:
  // `directory` is made if absent (one level). UNAVAILABLE: another process has it open.
  // FAILED_PRECONDITION: another format version. PERMISSION_DENIED, DATA_LOSS.
  static StatusOr<std::unique_ptr<LocalCoordinator>> Open(const std::string& directory,
                                                          Executor& executor);

  void Get(std::string key, Callback<std::optional<KeyValue>> done) override;
  void List(std::string prefix, Callback<std::vector<KeyValue>> done) override;
  void Commit(Transaction transaction, Callback<TransactionReply> done) override;
  void GrantLease(Duration ttl, std::function<void(Status)> lost, Callback<Lease> done) override;
  void RevokeLease(LeaseId lease, Callback<LeaseId> done) override;
  std::unique_ptr<WatchHandle> Watch(std::string prefix, uint64_t from_revision,
                                     WatchHandler handler) override;

 private:
  static constexpr size_t kWatchedRevisions = 1000;

  LocalCoordinator(std::unique_ptr<rocksdb::DB> db, uint64_t revision, Executor& executor)
      : executor_(executor), db_(std::move(db)), watches_(kWatchedRevisions, revision, &executor) {}
  static Status CheckFormat(rocksdb::DB& db, const std::string& directory);
  static StatusOr<uint64_t> ReadRevision(rocksdb::DB& db);
  Status EndOldLeases();
  StatusOr<std::optional<KeyValue>> DoGet(const std::string& key);
  StatusOr<std::vector<KeyValue>> DoList(const std::string& prefix);
  StatusOr<TransactionReply> DoCommit(const Transaction& transaction);
  StatusOr<TransactionReply> DoCommitLocked(const Transaction& transaction) REQUIRES(commit_mutex_);
  StatusOr<LeaseId> DoRevoke(LeaseId lease);
  void BeginWatch(const std::shared_ptr<WatchHub::Watcher>& watcher);

  Executor& executor_;
  // Held over compare and write, and so over a disk's sync: commits are rare, and only they take
  // it.
  Mutex commit_mutex_;
  const std::unique_ptr<rocksdb::DB> db_;
  LeaseTable leases_ GUARDED_BY(commit_mutex_);
  WatchHub watches_;
};

}  // namespace vswap
