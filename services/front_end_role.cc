#include "services/front_end_role.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <thread>

#include "services/cluster/await.h"
#include "services/cluster/registry.h"
#include "services/cluster/remote_member.h"
#include "services/common/thread_pool.h"
#include "services/serving.h"

namespace vswap {
namespace {

constexpr char kActiveKey[] = "active";
constexpr int kCoordinatorThreads = 1;
constexpr auto kCallMax = std::chrono::seconds(10);
constexpr auto kPoll = std::chrono::milliseconds(100);
constexpr auto kRefreshRetry = std::chrono::seconds(1);

// The nodes of the cluster, as their records in the coordinator tell. Thread-safe.
class NodeDirectory {
 public:
  // The node's connection; made or led to another address where that changed.
  RemoteMember& Take(const v1::NodeRecord& record) {
    MutexLock lock(mutex_);
    auto& node = nodes_[record.node()];
    if (node == nullptr) {
      node = std::make_unique<RemoteMember>(record.address());
    }
    node->SetAddress(record.address());
    records_[record.node()] = record;
    return *node;
  }
  // Empty where nothing has registered under the number.
  std::optional<v1::NodeRecord> RecordOf(NodeId node) {
    MutexLock lock(mutex_);
    const auto it = records_.find(node);
    return it == records_.end() ? std::nullopt : std::optional(it->second);
  }
  RemoteMember& At(NodeId node) {
    MutexLock lock(mutex_);
    return *nodes_.at(node);
  }
  std::vector<v1::NodeRecord> Stores() {
    std::vector<v1::NodeRecord> stores;
    MutexLock lock(mutex_);
    for (const auto& [id, record] : records_) {
      if (record.tier() == v1::TIER_PHYSICAL) {
        stores.push_back(record);
      }
    }
    return stores;
  }

 private:
  Mutex mutex_;
  std::map<NodeId, std::unique_ptr<RemoteMember>> nodes_ GUARDED_BY(mutex_);
  std::map<NodeId, v1::NodeRecord> records_ GUARDED_BY(mutex_);
};

class FrontEndRole : public Role {
 public:
  explicit FrontEndRole(FrontEndRoleOptions options)
      : options_(std::move(options)),
        coordinator_threads_(kCoordinatorThreads),
        compute_(ComputeThreads(options_.front_end.threads)) {}
  ~FrontEndRole() override { Stop(); }

  Status Start() {
    VSWAP_RETURN_IF_ERROR(Validate(options_.member));
    StatusOr<std::unique_ptr<Coordinator>> coordinator =
        OpenCoordinator(options_.member, coordinator_threads_);
    if (!coordinator.ok()) {
      return coordinator.status();
    }
    coordinator_ = *std::move(coordinator);
    VSWAP_RETURN_IF_ERROR(
        FindOrMakeCluster(*coordinator_, static_cast<uint32_t>(options_.front_end.shards), random_)
            .status());
    VSWAP_RETURN_IF_ERROR(BecomeActive());
    Placement placement;
    VSWAP_RETURN_IF_ERROR(AwaitNodes(placement));
    front_end_ = std::make_unique<FrontEnd>(
        ToFrontEndOptions(options_.front_end, options_.member.id), *coordinator_,
        [this](v1::ShardRecord& shard) { return LogsOf(shard); }, std::move(placement), compute_);
    StatusOr<std::unique_ptr<Serving>> serving = Serving::Listen(
        options_.member.listen, options_.member.metrics_listen, *front_end_, clock_);
    if (!serving.ok()) {
      return serving.status();
    }
    serving_ = *std::move(serving);
    VSWAP_RETURN_IF_ERROR(AwaitStart(*front_end_));
    serves_ = true;
    front_end_->ProveLoads(proving_);
    watches_ = {WatchFor("nodes/"), WatchFor("sets/")};
    serving_->SetReady(true);
    return Status();
  }

  const std::string& listen() const override { return serving_->listen(); }
  const std::string& metrics() const override { return serving_->metrics(); }

  Status Drain() override {
    const TimePoint deadline =
        clock_.Now() + std::chrono::seconds(options_.front_end.drain_seconds);
    spdlog::info("draining");
    serving_->SetReady(false);
    front_end_->Stop();
    PollUntil(deadline, [this] { return front_end_->Idle(); });
    serving_->StopRequests();
    // The next may begin at once.
    stopped_ = true;
    const LeaseId lease = lease_;
    const Status revoked = AwaitFor<LeaseId>(kCallMax, [&](auto done) {
                             coordinator_->RevokeLease(lease, std::move(done));
                           }).status();
    if (!revoked.ok()) {
      spdlog::warn("giving the lease back: {}", std::string(MessageOf(revoked)));
    }
    Stop();
    return Status();
  }

 private:
  // Waits until this is the front-end that serves.
  Status BecomeActive() {
    const StatusOr<Lease> lease =
        AwaitFor<Lease>(kCallMax, [&](Callback<Lease> done) { Grant(std::move(done)); });
    if (!lease.ok()) {
      return lease.status();
    }
    for (bool said = false;; said = true) {
      const StatusOr<Claim> claim = AwaitFor<Claim>(
          kCallMax, [&](Callback<Claim> done) { TryClaim(lease->id, std::move(done)); });
      if (claim.ok() && claim->mine) {
        spdlog::info("{} serves", options_.member.id);
        return Status();
      }
      if (claim.ok() && !claim->owner.empty() && !said) {
        spdlog::info("{} serves; standing by", claim->owner);
      }
      std::this_thread::sleep_for(kPoll);
    }
  }

  void Grant(Callback<Lease> done) {
    coordinator_->GrantLease(
        std::chrono::seconds(options_.lease_seconds),
        [this](const Status& status) { OnLeaseLost(status); },
        [this, done = std::move(done)](StatusOr<Lease> lease) {
          lease_ = lease.ok() ? lease->id : 0;
          done(std::move(lease));
        });
  }

  struct Claim {
    bool mine = false;
    std::string owner;  // where it is another's
  };
  // Puts the key under the lease, unless another front-end has it. A record of this one's name is
  // its own, or of an earlier process of it.
  void TryClaim(LeaseId lease, Callback<Claim> done) {
    coordinator_->Get(kActiveKey, [this, lease, done = std::move(done)](
                                      const StatusOr<std::optional<KeyValue>>& found) {
      if (!found.ok()) {
        return done(found.status());
      }
      if (found->has_value() && (*found)->value != options_.member.id) {
        return done(Claim{false, (*found)->value});
      }
      coordinator_->Commit(
          {{{kActiveKey, found->has_value() ? (*found)->revision : 0}},
           {{kActiveKey, options_.member.id, lease}},
           {}},
          [done](const StatusOr<TransactionReply>& reply) {
            done(reply.ok() ? StatusOr<Claim>(Claim{reply->succeeded, ""}) : reply.status());
          });
    });
  }

  // etcd may be away: then everything goes on, and loads are proven by the log. Or it has given the
  // key to another: then this process has nothing to do any more.
  void OnLeaseLost(const Status& status) {
    if (stopped_) {
      return;
    }
    spdlog::warn("the lease is lost: {}", std::string(MessageOf(status)));
    ProveLoads(true);
    Reclaim();
  }

  void Reclaim() {
    Grant([this](const StatusOr<Lease>& lease) {
      if (!lease.ok()) {
        return ReclaimLater();
      }
      TryClaim(lease->id, [this, id = lease->id](const StatusOr<Claim>& claim) {
        if (claim.ok() && !claim->owner.empty()) {
          spdlog::error("{} serves now", claim->owner);
          spdlog::shutdown();
          std::_Exit(1);
        }
        if (!claim.ok() || !claim->mine) {
          coordinator_->RevokeLease(id, [](const StatusOr<LeaseId>&) {});
          return ReclaimLater();
        }
        spdlog::info("the lease is held again");
        ProveLoads(false);
      });
    });
  }

  void ReclaimLater() {
    if (!stopped_) {
      coordinator_threads_.PostAfter(kRefreshRetry, [this] { Reclaim(); });
    }
  }

  void ProveLoads(bool on) {
    proving_ = on;
    if (serves_) {
      front_end_->ProveLoads(on);
    }
  }

  // Until there is a compressor and a store, and every store answers.
  Status AwaitNodes(Placement& placement) {
    for (bool said = false;; said = true) {
      const Status loaded = LoadNodes(placement);
      if (loaded.ok() && placement.Choose(Tier::kCompressed) && placement.Choose(Tier::kPhysical) &&
          StoresAnswer()) {
        return Status();
      }
      if (!said) {
        spdlog::info(
            "waiting for at least one compressor and one store, and for every store known");
      }
      std::this_thread::sleep_for(kPoll);
    }
  }

  bool StoresAnswer() {
    return std::ranges::all_of(nodes_.Stores(), [this](const v1::NodeRecord& store) {
      const StatusOr<NodeStatistics> statistics =
          AwaitFor<NodeStatistics>(kCallMax, [&](Callback<NodeStatistics> done) {
            nodes_.At(store.node()).Statistics(std::move(done));
          });
      return statistics.ok() && statistics->incarnation == store.incarnation();
    });
  }

  Status LoadNodes(Placement& placement) {
    const auto nodes = AwaitFor<std::vector<KeyValue>>(
        kCallMax, [&](auto done) { coordinator_->List("nodes/", std::move(done)); });
    const auto sets = AwaitFor<std::vector<KeyValue>>(
        kCallMax, [&](auto done) { coordinator_->List("sets/", std::move(done)); });
    VSWAP_RETURN_IF_ERROR(nodes.status());
    VSWAP_RETURN_IF_ERROR(sets.status());
    ApplyNodes(*nodes, placement);
    ApplySets(*sets, placement);
    return Status();
  }

  void ApplyNodes(const std::vector<KeyValue>& records, Placement& placement) {
    for (const KeyValue& entry : records) {
      v1::NodeRecord record;
      if (!record.ParseFromString(entry.value)) {
        spdlog::error("coordinator: the record {} cannot be read", entry.key);
        continue;
      }
      RemoteMember& node = nodes_.Take(record);
      placement.AddNode({record.node(), static_cast<Tier>(record.tier()), record.name(),
                         record.incarnation(), &node});
    }
  }

  // A set whose nodes are not known yet comes with the next look.
  static void ApplySets(const std::vector<KeyValue>& records, Placement& placement) {
    for (const KeyValue& entry : records) {
      v1::SetRecord record;
      if (!record.ParseFromString(entry.value)) {
        spdlog::error("coordinator: the record {} cannot be read", entry.key);
        continue;
      }
      const std::vector<NodeId> nodes(record.nodes().begin(), record.nodes().end());
      if (std::ranges::all_of(nodes,
                              [&](NodeId node) { return placement.Find(node) != nullptr; })) {
        placement.AddSet(static_cast<SetId>(record.set()), static_cast<Tier>(record.tier()), nodes);
      }
    }
  }

  // Nodes that join, come back elsewhere or come back empty.
  std::unique_ptr<WatchHandle> WatchFor(const std::string& prefix) {
    return coordinator_->Watch(
        prefix, 0,
        {.on_events = [this](const std::vector<WatchEvent>&) { Refresh(); },
         .on_resync = [this](const std::vector<KeyValue>&, uint64_t) { Refresh(); }});
  }

  void Refresh() {
    coordinator_->List("nodes/", [this](const StatusOr<std::vector<KeyValue>>& nodes) {
      if (!nodes.ok()) {
        return coordinator_threads_.PostAfter(kRefreshRetry, [this] { Refresh(); });
      }
      ApplyNodes(*nodes, front_end_->placement());
      coordinator_->List("sets/", [this](const StatusOr<std::vector<KeyValue>>& sets) {
        if (!sets.ok()) {
          return coordinator_threads_.PostAfter(kRefreshRetry, [this] { Refresh(); });
        }
        ApplySets(*sets, front_end_->placement());
      });
    });
  }

  StatusOr<std::vector<TableLog*>> LogsOf(v1::ShardRecord& shard) {
    if (shard.replicas_size() == 0) {
      const std::vector<v1::NodeRecord> stores = nodes_.Stores();
      const v1::NodeRecord& chosen = stores[shards_placed_++ % stores.size()];
      v1::LogReplica* replica = shard.add_replicas();
      replica->set_node(chosen.node());
      replica->set_incarnation(chosen.incarnation());
      replica->set_full(true);
    }
    std::vector<TableLog*> logs;
    for (const v1::LogReplica& replica : shard.replicas()) {
      const std::optional<v1::NodeRecord> record = nodes_.RecordOf(replica.node());
      if (!record || record->incarnation() != replica.incarnation()) {
        return MakeError(StatusCode::kFailedPrecondition,
                         "a table log was on node " + std::to_string(replica.node()) +
                             ", whose data is gone: its shard cannot be served");
      }
      logs.push_back(&nodes_.At(replica.node()));
    }
    return logs;
  }

  void Stop() {
    stopped_ = true;
    watches_ = {};
    serving_.reset();
    coordinator_.reset();
    coordinator_threads_.Stop();
    compute_.Stop();
  }

  const FrontEndRoleOptions options_;
  SteadyClock clock_;
  SystemRandom random_;
  ThreadPool coordinator_threads_;
  ThreadPool compute_;
  std::unique_ptr<Coordinator> coordinator_;
  std::atomic<LeaseId> lease_{0};
  std::atomic<bool> stopped_{false};
  std::atomic<bool> serves_{false};
  std::atomic<bool> proving_{false};
  NodeDirectory nodes_;
  size_t shards_placed_ = 0;
  std::unique_ptr<FrontEnd> front_end_;
  std::unique_ptr<Serving> serving_;
  std::array<std::unique_ptr<WatchHandle>, 2> watches_;
};

}  // namespace

StatusOr<std::unique_ptr<Role>> StartFrontEnd(const FrontEndRoleOptions& options) {
  auto role = std::make_unique<FrontEndRole>(options);
  VSWAP_RETURN_IF_ERROR(role->Start());
  return std::unique_ptr<Role>(std::move(role));
}

}  // namespace vswap
