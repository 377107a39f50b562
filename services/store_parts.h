#pragma once

#include <memory>
#include <string>

#include "services/common/thread_pool.h"
#include "services/store/rocksdb_node.h"
#include "services/store/rocksdb_table_log.h"

namespace vswap {

struct StoreOptions {
  uint64_t capacity_pages = uint64_t{1} << 18;  // 1 GiB
  uint64_t block_cache = uint64_t{64} << 20;    // bytes
  bool sync_log = false;
  bool discard_data = false;
  bool replicated = false;  // see StoreDbOptions
};

// A store: page records and table log in one RocksDB, and the threads they work on. Externally
// synchronised.
class StoreParts {
 public:
  static StatusOr<std::unique_ptr<StoreParts>> Open(const std::string& data_dir,
                                                    const StoreOptions& options, Random& random);
  ~StoreParts() { StopThreads(); }

  RocksdbNode& node() { return *node_; }
  RocksdbTableLog& log() { return *log_; }
  Incarnation incarnation() const { return db_->incarnation(); }
  Incarnation log_incarnation() const { return db_->log_incarnation(); }
  // For what stores wait for: the table log, and the coordinator of an embedded cluster.
  Executor& log_executor() { return log_threads_; }

  // Nothing is answered from then on.
  void StopThreads();
  // After StopThreads.
  Status Close() { return db_->Close(); }

 private:
  StoreParts();

  // Apart, so that the log never waits behind pages.
  ThreadPool page_threads_;
  ThreadPool log_threads_;
  std::unique_ptr<StoreDb> db_;
  std::unique_ptr<RocksdbNode> node_;
  std::unique_ptr<RocksdbTableLog> log_;
};

}  // namespace vswap
