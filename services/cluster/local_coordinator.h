#pragma once

#include <rocksdb/db.h>

#include <memory>

#include "services/cluster/coordinator.h"
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
// Format: key "k" + key, value revision (8 bytes, little endian) + value; "revision": the store's
// revision (8 bytes); "format": "1".
class LocalCoordinator : public Coordinator {
 public:
  // `directory` is made if absent (one level). UNAVAILABLE: another process has it open.
  // FAILED_PRECONDITION: another format version. PERMISSION_DENIED, DATA_LOSS.
  static StatusOr<std::unique_ptr<LocalCoordinator>> Open(const std::string& directory,
                                                          Executor& executor);

  void Get(std::string key, Callback<std::optional<KeyValue>> done) override;
  void List(std::string prefix, Callback<std::vector<KeyValue>> done) override;
  void Commit(Transaction transaction, Callback<TransactionReply> done) override;

 private:
  LocalCoordinator(std::unique_ptr<rocksdb::DB> db, Executor& executor)
      : executor_(executor), db_(std::move(db)) {}
  Status CheckFormat(const std::string& directory);
  StatusOr<uint64_t> ReadRevision();
  StatusOr<std::optional<KeyValue>> DoGet(const std::string& key);
  StatusOr<std::vector<KeyValue>> DoList(const std::string& prefix);
  StatusOr<TransactionReply> DoCommit(const Transaction& transaction);

  Executor& executor_;
  // Held over compare and write, and so over a disk's sync: commits are rare, and only they take
  // it.
  Mutex commit_mutex_;
  const std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace vswap
