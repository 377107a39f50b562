#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "services/common/checksum.h"
#include "services/common/thread_pool.h"
#include "services/store/rocksdb_node.h"
#include "services/store/store_db.h"
#include "tests/support/await.h"
#include "tests/support/temp_dir.h"

namespace vswap {

// A page whose content follows from its name, so that a misdelivered one shows. `shrinks`: half of
// it is a run.
inline std::vector<std::byte> PlainOf(const PageName& name, bool shrinks) {
  SeededRandom random(Mix64(name.space) ^ Mix64(name.offset + 1) ^ Mix64(name.version + 2));
  std::vector<std::byte> plain(kPageBytes, std::byte{0x5a});
  const size_t noise = shrinks ? kPageBytes / 4 : kPageBytes;
  for (size_t i = 0; i < noise; ++i) {
    plain[i] = static_cast<std::byte>(random.Next64());
  }
  return plain;
}

// A raw page to put, and the bytes that it borrows.
struct OwnedPage {
  std::vector<std::byte> bytes;
  PutPage put;
};

inline void SetRecordChecksum(PutPage& put) {
  put.record_checksum =
      RecordChecksum(put.name, put.stamp, put.page_checksum, put.encoding, put.bytes);
}

inline OwnedPage RawPage(const PageName& name, bool shrinks) {
  OwnedPage page;
  page.bytes = PlainOf(name, shrinks);
  page.put.name = name;
  page.put.stamp = {7, name.version};
  page.put.encoding = Encoding::kRaw;
  page.put.bytes = page.bytes;
  page.put.page_checksum = PageChecksum(name.space, name.offset, page.put.stamp,
                                        PageView(page.bytes.data(), kPageBytes));
  SetRecordChecksum(page.put);
  return page;
}

// The calls of a node, waited for.
class NodeCalls {
 public:
  explicit NodeCalls(Node& node) : node_(node) {}

  StatusOr<PutReply> Put(const std::vector<PutPage>& pages) {
    return Await<PutReply>([&](auto done) { node_.Put(pages, Lane::kPageOut, done); });
  }
  // Raw pages of these names; the code of each, none of it kUnset unless the call failed.
  std::vector<PageCode> PutRaw(const std::vector<PageName>& names, uint32_t replaces_bytes = 0,
                               bool shrinks = true) {
    std::vector<OwnedPage> owned;
    for (const PageName& name : names) {
      owned.push_back(RawPage(name, shrinks));
    }
    std::vector<PutPage> pages;
    for (OwnedPage& page : owned) {
      page.put.replaces_bytes = replaces_bytes;
      pages.push_back(page.put);
    }
    const auto reply = Put(pages);
    std::vector<PageCode> codes(names.size(), PageCode::kUnset);
    for (size_t i = 0; reply.ok() && i < codes.size(); ++i) {
      codes[i] = reply->pages[i].code;
    }
    return codes;
  }
  PageCode PutRaw(const PageName& name, uint32_t replaces_bytes = 0) {
    return PutRaw(std::vector<PageName>{name}, replaces_bytes)[0];
  }
  StatusOr<GetReply> Get(const std::vector<PageName>& names) {
    return Await<GetReply>([&](auto done) { node_.Get(names, Lane::kDemand, done); });
  }
  PageCode CodeOf(const PageName& name) {
    const auto reply = Get({name});
    return reply.ok() ? reply->pages[0].code : PageCode::kUnset;
  }
  Status Delete(const std::vector<PageName>& names) {
    return Await<Incarnation>([&](auto done) { node_.Delete(names, done); }).status();
  }
  NodeStatistics Statistics() {
    return Await<NodeStatistics>([&](auto done) { node_.Statistics(done); }).value();
  }
  StatusOr<InventoryReply> Inventory(const std::string& cursor, uint32_t limit) {
    return Await<InventoryReply>([&](auto done) { node_.Inventory(cursor, limit, done); });
  }
  std::vector<PageName> AllNames(uint32_t limit = 4096) {
    std::vector<PageName> names;
    std::string cursor;
    do {
      const InventoryReply reply = Inventory(cursor, limit).value();
      names.insert(names.end(), reply.names.begin(), reply.names.end());
      cursor = reply.next_cursor;
    } while (!cursor.empty());
    return names;
  }

 private:
  Node& node_;
};

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
