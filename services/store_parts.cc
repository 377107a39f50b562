#include "services/store_parts.h"

namespace vswap {
namespace {

constexpr int kStoreThreads = 4;
constexpr int kLogThreads = 2;

}  // namespace

StoreParts::StoreParts() : page_threads_(kStoreThreads), log_threads_(kLogThreads) {}

StatusOr<std::unique_ptr<StoreParts>> StoreParts::Open(const std::string& data_dir,
                                                       const StoreOptions& options,
                                                       Random& random) {
  std::unique_ptr<StoreParts> parts(new StoreParts());
  StatusOr<std::unique_ptr<StoreDb>> db = StoreDb::Open({.directory = data_dir + "/store",
                                                         .block_cache_bytes = options.block_cache,
                                                         .sync_log = options.sync_log,
                                                         .discard_data = options.discard_data,
                                                         .replicated = options.replicated},
                                                        random);
  if (!db.ok()) {
    return db.status();
  }
  parts->db_ = *std::move(db);
  StatusOr<std::unique_ptr<RocksdbNode>> node = RocksdbNode::Open(
      *parts->db_, parts->page_threads_, {.capacity_pages = options.capacity_pages});
  if (!node.ok()) {
    return node.status();
  }
  parts->node_ = *std::move(node);
  parts->log_ = std::make_unique<RocksdbTableLog>(*parts->db_, parts->log_threads_);
  return parts;
}

void StoreParts::StopThreads() {
  page_threads_.Stop();
  log_threads_.Stop();
}

}  // namespace vswap
