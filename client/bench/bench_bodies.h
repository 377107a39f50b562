#pragma once

#include <atomic>

#include "services/cluster/node.h"
#include "services/cluster/table_log.h"

namespace vswap::bench {

// A table log that keeps nothing: every write is accepted within the call. Thread-safe.
class NoTableLog : public TableLog {
 public:
  void Write(LogWrite write, Callback<bool> done) override;
  void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) override;
  void Read(ShardId shard, std::string cursor, uint32_t limit,
            Callback<LogReadReply> done) override;
};

// A node that counts its pages and keeps none; a get answers bytes that mean nothing. Answers
// within the call. Thread-safe.
class CountingNode : public Node {
 public:
  static constexpr Incarnation kIncarnation = 1;
  // Of every page put or got.
  static constexpr uint16_t kStoredBytes = 64;

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override;
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override;
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override;
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override;
  void Verify(std::vector<PageName> names, Callback<VerifyReply> done) override;
  void Statistics(Callback<NodeStatistics> done) override;

 private:
  std::atomic<uint64_t> pages_{0};
};

}  // namespace vswap::bench
