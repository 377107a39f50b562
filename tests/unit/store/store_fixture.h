#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "services/common/thread_pool.h"
#include "services/store/rocksdb_node.h"
#include "services/store/store_db.h"
#include "tests/support/node_calls.h"
#include "tests/support/pages.h"
#include "tests/support/temp_dir.h"

namespace vswap {

// A directory with a store in it that can be dropped, as kill -9 does, and opened again.
class StoreSetup {
 public:
  explicit StoreSetup(RocksdbNodeOptions node_options = {1000, 256}, int threads = 2)
      : node_options_(node_options), threads_(threads) {
    options.directory = dir_.path();
    options.boot_id_path = dir_.path() + "-boot";
    std::ofstream(options.boot_id_path) << "the-test's-boot\n";
    const Status opened = Open();
    EXPECT_TRUE(opened.ok()) << opened;
  }
  ~StoreSetup() {
    Drop();
    std::filesystem::remove(options.boot_id_path);
  }
  Status Open() {
    pool_ = std::make_unique<ThreadPool>(threads_);
    auto store = StoreDb::Open(options, random_);
    VSWAP_RETURN_IF_ERROR(store.status());
    store_ = *std::move(store);
    auto node = RocksdbNode::Open(*store_, *pool_, node_options_);
    VSWAP_RETURN_IF_ERROR(node.status());
    node_ = *std::move(node);
    return absl::OkStatus();
  }
  void Drop() {
    pool_->Stop();
    node_.reset();
    store_.reset();
  }
  Status Reopen() {
    Drop();
    return Open();
  }
  Status CloseCleanly() {
    pool_->Stop();
    node_.reset();
    const Status closed = store_->Close();
    store_.reset();
    return closed;
  }
  StoreDb& store() { return *store_; }
  RocksdbNode& node() { return *node_; }
  NodeCalls calls() { return NodeCalls(*node_); }
  ThreadPool& pool() { return *pool_; }

  StoreDbOptions options;

 private:
  TempDir dir_;
  const RocksdbNodeOptions node_options_;
  const int threads_;
  SystemRandom random_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<StoreDb> store_;
  std::unique_ptr<RocksdbNode> node_;
};

}  // namespace vswap
