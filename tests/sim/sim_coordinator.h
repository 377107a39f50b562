#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "services/cluster/coordinator.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_process.h"
#include "tests/support/memory_coordinator.h"

namespace vswap {

// The coordinator's process, in which leases end by time. While it is away none does, and all begin
// anew when it is back, as with etcd.
class SimCoordinatorServer {
 public:
  SimCoordinatorServer(ManualExecutor& world, uint64_t process_id, uint64_t seed)
      : process(world, "coordinator", process_id, seed), world_(world) {}

  void Grant(Duration ttl, const Callback<Lease>& done);
  void Renew(LeaseId lease, const Callback<bool>& done);
  void Revoke(LeaseId lease, const Callback<LeaseId>& done);
  void SetDown(bool down);

  SimProcess process;
  MemoryCoordinator memory;

 private:
  struct Held {
    Duration ttl{};
    TimePoint ends{};
  };
  void ExpireAfter(LeaseId lease, Duration delay);

  ManualExecutor& world_;
  std::map<LeaseId, Held> leases_;
};

// What a process calls to reach it. Watches are streams: their events come late, but in order and
// all of them.
class SimCoordinator : public Coordinator {
 public:
  // `forever`: its leases are said to hold until the coordinator itself says that they do not (a
  // planted bug).
  SimCoordinator(SimNetwork& network, SimProcess& from, SimCoordinatorServer& server, bool forever)
      : network_(network), from_(from), server_(server), forever_(forever) {}

  void Get(std::string key, Callback<std::optional<KeyValue>> done) override;
  void List(std::string prefix, Callback<std::vector<KeyValue>> done) override;
  void Commit(Transaction transaction, Callback<TransactionReply> done) override;
  void GrantLease(Duration ttl, std::function<void(Status)> lost, Callback<Lease> done) override;
  void RevokeLease(LeaseId lease, Callback<LeaseId> done) override;
  std::unique_ptr<WatchHandle> Watch(std::string prefix, uint64_t from_revision,
                                     WatchHandler handler) override;

 private:
  struct Keeping;
  struct Stream;
  class Handle;
  void RenewLater(const std::shared_ptr<Keeping>& keeping);
  void Renew(const std::shared_ptr<Keeping>& keeping);
  void Lose(const std::shared_ptr<Keeping>& keeping, const Status& why);
  void Move(const std::shared_ptr<Stream>& stream);

  SimNetwork& network_;
  SimProcess& from_;
  SimCoordinatorServer& server_;
  const bool forever_;
  std::map<LeaseId, std::shared_ptr<Keeping>> keepings_;
  std::map<LeaseId, TimePoint> lost_at_;  // unless it is renewed
};

}  // namespace vswap
