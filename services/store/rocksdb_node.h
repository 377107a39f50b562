#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "services/cluster/node.h"
#include "services/common/executor.h"
#include "services/store/exclusive_names.h"
#include "services/store/page_room.h"
#include "services/store/store_db.h"

namespace vswap {

struct RocksdbNodeOptions {
  uint64_t capacity_pages = 0;              // 0: the tier is off, every put is refused
  uint64_t overlap_pages = kBatchPagesMax;  // on top, for pages that replace another; see PageRoom
};

// The physical tier: pages as records of a StoreDb (record_format.h). LZ4 bytes are kept as they
// came; a raw page is compressed where that saves at least an eighth, since pages also come here
// because the compressed tier is full.
//
// Bad at: priorities. All lanes share the executor; background puts give way to compaction only.
//
// Thread-safe. Everything runs on the executor, which has stopped before the node ends: a call that
// it dropped is not answered. The StoreDb is borrowed and outlives the node.
//
// Invariant: the counted pages and bytes are those of the records held, plus the room of puts under
// way. Failure: a page that does not verify is kCorrupt and counted, its neighbours in a damaged
// RocksDB block are still found; a write that RocksDB refuses is INTERNAL for the batch, and its
// room is given back.
class RocksdbNode : public Node {
 public:
  // Counts what the store holds: one pass over `names` (26 bytes a page).
  static StatusOr<std::unique_ptr<RocksdbNode>> Open(StoreDb& store, Executor& executor,
                                                     const RocksdbNodeOptions& options);

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override;
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override;
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override;
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override;
  void Verify(std::vector<PageName> names, Callback<VerifyReply> done) override;
  void Statistics(Callback<NodeStatistics> done) override;

  // Pages found damaged since Open, by Get or Verify.
  uint64_t corrupt_pages() const { return corrupt_pages_.load(); }

 private:
  struct Prepared;
  // What `names` says of some names: a length where the page is held.
  using HeldLengths = std::vector<std::optional<uint16_t>>;

  RocksdbNode(StoreDb& store, Executor& executor, const RocksdbNodeOptions& options)
      : store_(store),
        executor_(executor),
        exclusive_(executor),
        room_(options.capacity_pages, options.overlap_pages) {}
  Status CountHeld();
  StatusOr<HeldLengths> ReadHeldLengths(const std::vector<PageName>& names);
  // Verifies a page and brings it into the form it is kept in.
  static Prepared Prepare(const PutPage& page);
  StatusOr<PutReply> DoPut(const std::vector<PutPage>& pages, Lane lane);
  Status WritePrepared(const std::vector<PutPage>& pages, const std::vector<Prepared>& prepared,
                       Lane lane);
  StatusOr<GetReply> DoGet(const std::vector<PageName>& names, const rocksdb::ReadOptions& options);
  GotPage Accept(const PageName& name, const rocksdb::Slice& value,
                 std::vector<std::byte>& payload);
  StatusOr<GotPage> GetAgain(const PageName& name, std::vector<std::byte>& payload);
  StatusOr<Incarnation> DoDelete(const std::vector<PageName>& names);
  StatusOr<InventoryReply> DoInventory(const std::string& cursor, uint32_t limit);
  StatusOr<VerifyReply> DoVerify(const std::vector<PageName>& names);

  StoreDb& store_;
  Executor& executor_;
  ExclusiveNames exclusive_;
  PageRoom room_;
  std::atomic<uint64_t> corrupt_pages_ = 0;
};

}  // namespace vswap
