#pragma once

#include <atomic>

#include "services/cluster/node.h"
#include "services/common/executor.h"
#include "services/compressor/puts_under_way.h"
#include "services/compressor/slab_arena.h"

namespace vswap {

// The compressed tier: pages as LZ4 blocks in a SlabArena. A raw page is compressed here, one that
// is compressed already, or to stay as it is, is kept as it came.
//
// Bad at: priorities. All lanes share the executor, and a batch is one task.
//
// Thread-safe. Puts, and batches too large for the caller's thread, run on the executor, which has
// stopped before the node ends: a call that it dropped is not answered. The arena is borrowed and
// outlives the node. No lock is held while a callback runs.
//
// A delete also takes the pages of puts of the same names that were called before it and have not
// answered. Failure: a record that does not verify is kCorrupt and counted; no room is
// kResourceExhausted for exactly the pages that found none.
class CompressorNode : public Node {
 public:
  CompressorNode(SlabArena& arena, Executor& executor) : arena_(arena), executor_(executor) {}

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override;
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override;
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override;
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override;
  void Verify(std::vector<PageName> names, Callback<VerifyReply> done) override;
  void Statistics(Callback<NodeStatistics> done) override;

  // Pages found damaged, by Get or Verify.
  uint64_t corrupt_pages() const { return corrupt_pages_.load(); }

 private:
  PutReply DoPut(const std::vector<PutPage>& pages, const PutsUnderWay::Batch& batch);
  PutOutcome PutOne(const PutPage& page, const std::atomic<bool>& withdrawn);
  GetReply DoGet(const std::vector<PageName>& names);
  GotPage GetOne(const PageName& name, std::vector<std::byte>& payload);

  SlabArena& arena_;
  Executor& executor_;
  PutsUnderWay under_way_;
  std::atomic<uint64_t> corrupt_pages_ = 0;
};

}  // namespace vswap
