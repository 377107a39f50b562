#pragma once

#include <memory>
#include <string>

#include "services/cluster/remote_node.h"
#include "services/common/mutex.h"

namespace vswap {

// A node of the cluster, and the table log beside it, at whatever address it has now: pages and log
// over a connection each. Calls under way end at the address where they began. Thread-safe; as
// RemoteNode, but may be destroyed while calls are under way.
class RemoteMember : public Node, public TableLog {
 public:
  explicit RemoteMember(std::string address) { SetAddress(std::move(address)); }

  void SetAddress(std::string address);

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override;
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override;
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override;
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override;
  void Verify(std::vector<PageName> names, Callback<VerifyReply> done) override;
  void Statistics(Callback<NodeStatistics> done) override;

  void Write(LogWrite write, Callback<bool> done) override;
  void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) override;
  void Read(ShardId shard, std::string cursor, uint32_t limit,
            Callback<LogReadReply> done) override;

 private:
  struct End {
    RemoteNode node;
    RemoteTableLog log;
  };
  std::shared_ptr<End> Now();

  Mutex mutex_;
  std::string address_ GUARDED_BY(mutex_);
  std::shared_ptr<End> end_ GUARDED_BY(mutex_);
};

}  // namespace vswap
