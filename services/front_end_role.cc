#include "services/front_end_role.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <thread>
#include <utility>

#include "services/cluster/await.h"
#include "services/cluster/registry.h"
#include "services/cluster/remote_member.h"
#include "services/common/thread_pool.h"
#include "services/serving.h"

namespace vswap {
namespace {

constexpr char kActiveKey[] = "active";
constexpr char kFirstShardKey[] = "shards/00000";  // every takeover changes it first
constexpr int kCoordinatorThreads = 1;
constexpr auto kCallMax = std::chrono::seconds(10);
constexpr auto kPoll = std::chrono::milliseconds(100);
constexpr auto kRefreshRetry = std::chrono::seconds(1);

// The nodes of the cluster, as their records in the coordinator tell. Thread-safe.
class NodeDirectory {
 public:
  // The node's connection; made or led to another address where that changed. Null where a later
  // record is known.
  RemoteMember* Take(const v1::NodeRecord& record, uint64_t revision) {
    MutexLock lock(mutex_);
    uint64_t& known = revisions_[record.node()];
    if (revision < known) {
      return nullptr;
    }
    known = revision;
    auto& node = nodes_[record.node()];
    if (node == nullptr) {
      node = std::make_unique<RemoteMember>(record.address());
    }
    node->SetAddress(record.address());
    records_[record.node()] = record;
    return node.get();
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
  std::map<NodeId, uint64_t> revisions_ GUARDED_BY(mutex_);
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
    FrontEnd::Options front_end = ToFrontEndOptions(options_.front_end, options_.member.id);
    front_end.taken_under = {{kActiveKey, claimed_at_}};
    front_end.on_fenced = [](const Status& status) { End(std::string(MessageOf(status))); };
    {
      MutexLock lock(lease_mutex_);
      front_end_ = std::make_unique<FrontEnd>(
          std::move(front_end), *coordinator_,
          [this](v1::ShardRecord& shard) { return LogsOf(shard); }, std::move(placement), compute_);
      front_end_->ProveLoads(proving_);
    }
    StatusOr<std::unique_ptr<Serving>> serving = Serving::Listen(
        options_.member.listen, options_.member.metrics_listen, *front_end_, clock_);
    if (!serving.ok()) {
      return serving.status();
    }
    serving_ = *std::move(serving);
    VSWAP_RETURN_IF_ERROR(AwaitStart(*front_end_));
    serves_ = true;
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
    LeaseId lease = 0;
    {
      MutexLock lock(lease_mutex_);
      lease = std::exchange(lease_, 0);
    }
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
  // Waits until this is the front-end that serves. Lapsed leases are replaced on the way.
  Status BecomeActive() {
    bool lapsed = false;
    for (bool said = false;;) {
      if (!LeaseHolds()) {
        const StatusOr<Lease> lease =
            AwaitFor<Lease>(kCallMax, [&](Callback<Lease> done) { Grant(std::move(done)); });
        if (!lease.ok()) {
          spdlog::warn("no lease yet: {}", std::string(MessageOf(lease.status())));
          std::this_thread::sleep_for(kRefreshRetry);
          continue;
        }
        if (std::exchange(lapsed, true)) {
          // etcd was away for all: who has served so far goes first.
          std::this_thread::sleep_for(2 * kRefreshRetry);
        }
      }
      const StatusOr<Claim> claim =
          AwaitFor<Claim>(kCallMax, [&](Callback<Claim> done) { TryClaim({}, std::move(done)); });
      if (claim.ok() && claim->mine) {
        claimed_at_ = claim->revision;
        MutexLock lock(lease_mutex_);
        active_ = lease_ != 0;
        if (active_) {
          spdlog::info("{} serves", options_.member.id);
          return Status();
        }
      }
      if (claim.status().code() == StatusCode::kNotFound) {
        MutexLock lock(lease_mutex_);
        lease_ = 0;  // it has ended, and nobody has said so
      }
      if (claim.ok() && !claim->owner.empty() && !said) {
        spdlog::info("{} serves; standing by", claim->owner);
        said = true;
      }
      std::this_thread::sleep_for(kPoll);
    }
  }

  bool LeaseHolds() {
    MutexLock lock(lease_mutex_);
    return lease_ != 0;
  }

  // A new lease in place of one that is lost.
  void Grant(Callback<Lease> done) {
    const auto id = std::make_shared<std::atomic<LeaseId>>(0);
    coordinator_->GrantLease(
        std::chrono::seconds(options_.lease_seconds),
        [this, id](const Status& status) { OnLeaseLost(*id, status); },
        [this, id, done = std::move(done)](StatusOr<Lease> lease) {
          if (lease.ok()) {
            *id = lease->id;
            MutexLock lock(lease_mutex_);
            lease_ = lease->id;
          }
          done(std::move(lease));
        });
  }

  struct Claim {
    bool mine = false;
    std::string owner;      // where it is another's
    uint64_t revision = 0;  // of the key, where it is mine
  };
  // Puts the key under the lease, unless another front-end has it: its value is the name and the
  // process' number. A value of this name and another number is of an earlier process.
  void TryClaim(std::vector<Transaction::Compare> under, Callback<Claim> done) {
    coordinator_->Get(kActiveKey, [this, under = std::move(under), done = std::move(done)](
                                      const StatusOr<std::optional<KeyValue>>& found) mutable {
      if (!found.ok()) {
        return done(found.status());
      }
      const std::string name =
          found->has_value() ? (*found)->value.substr(0, (*found)->value.rfind(' ')) : "";
      const bool of_another_process = found->has_value() && (*found)->value != Value();
      if (found->has_value() && (name != options_.member.id || (active_ && of_another_process))) {
        return done(Claim{false, name, 0});
      }
      LeaseId lease = 0;
      {
        MutexLock lock(lease_mutex_);
        lease = lease_;
      }
      if (lease == 0) {
        return done(MakeError(StatusCode::kUnavailable, "the lease is lost"));
      }
      under.push_back({kActiveKey, found->has_value() ? (*found)->revision : 0});
      coordinator_->Commit(
          {std::move(under), {{kActiveKey, Value(), lease}}, {}},
          [done](const StatusOr<TransactionReply>& reply) {
            done(reply.ok() ? StatusOr<Claim>(Claim{reply->succeeded, "", reply->revision})
                            : reply.status());
          });
    });
  }

  std::string Value() const { return options_.member.id + " " + std::to_string(process_); }

  // Standing by, the next try gets a new one. The owner goes on, as etcd may be away: loads are
  // proven by the log until the key is claimed again.
  void OnLeaseLost(LeaseId id, const Status& status) {
    bool active = false;
    {
      MutexLock lock(lease_mutex_);
      if (stopped_ || id != lease_) {
        return;
      }
      lease_ = 0;
      active = active_;
    }
    if (active) {
      spdlog::warn("the lease is lost: {}", std::string(MessageOf(status)));
      ProveLoads(true);
      Reclaim();
    }
  }

  // One at a time: begun by the loss of the lease that the one before had got, or by itself.
  void Reclaim() {
    if (stopped_) {
      return;
    }
    Grant([this](const StatusOr<Lease>& lease) {
      if (!lease.ok()) {
        return ReclaimLater();
      }
      // Whoever served meanwhile has taken the first shard.
      coordinator_->Get(kFirstShardKey, [this](const StatusOr<std::optional<KeyValue>>& shard) {
        if (!shard.ok()) {
          return GiveUpLease();
        }
        if (!serves_) {
          return End("the lease was lost during the start");
        }
        v1::ShardRecord record;
        const StatusOr<ShardMap> map = front_end_->GetShardMap();
        if (!shard->has_value() || !record.ParseFromString((*shard)->value) || !map.ok() ||
            map->epochs.front() != record.epoch()) {
          return End("another front-end has served meanwhile");
        }
        TryClaim({{kFirstShardKey, (*shard)->revision}},
                 [this](const StatusOr<Claim>& claim) { OnReclaimed(claim); });
      });
    });
  }

  void OnReclaimed(const StatusOr<Claim>& claim) {
    if (claim.ok() && !claim->owner.empty()) {
      return End(claim->owner + " serves now");
    }
    if (!claim.ok() || !claim->mine) {
      return GiveUpLease();
    }
    MutexLock lock(lease_mutex_);
    if (lease_ != 0) {
      spdlog::info("the lease is held again");
      SetProving(false);
    }
  }

  // The next try gets another.
  void GiveUpLease() {
    LeaseId lease = 0;
    {
      MutexLock lock(lease_mutex_);
      lease = std::exchange(lease_, 0);
    }
    // Lost meanwhile: then the next try has begun.
    if (lease != 0) {
      coordinator_->RevokeLease(lease, [](const StatusOr<LeaseId>&) {});
      ReclaimLater();
    }
  }

  void ReclaimLater() {
    coordinator_threads_.PostAfter(kRefreshRetry, [this] { Reclaim(); });
  }

  [[noreturn]] static void End(const std::string& why) {
    spdlog::error("{}: this process ends", why);
    spdlog::shutdown();
    std::_Exit(1);
  }

  void ProveLoads(bool on) {
    MutexLock lock(lease_mutex_);
    SetProving(on);
  }
  void SetProving(bool on) REQUIRES(lease_mutex_) {
    proving_ = on;
    if (front_end_ != nullptr) {
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
      if (RemoteMember* const node = nodes_.Take(record, entry.revision)) {
        placement.AddNode({record.node(), static_cast<Tier>(record.tier()), record.name(),
                           record.incarnation(), node});
      }
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
    coordinator_threads_.Stop();
    coordinator_.reset();
    compute_.Stop();
  }

  const FrontEndRoleOptions options_;
  SteadyClock clock_;
  SystemRandom random_;
  ThreadPool coordinator_threads_;
  ThreadPool compute_;
  std::unique_ptr<Coordinator> coordinator_;
  const uint64_t process_ = random_.Next64();
  std::atomic<bool> stopped_{false};
  std::atomic<bool> active_{false};  // has claimed the key
  std::atomic<bool> serves_{false};  // and owns the shards
  uint64_t claimed_at_ = 0;          // the key's revision
  Mutex lease_mutex_;
  LeaseId lease_ GUARDED_BY(lease_mutex_) = 0;  // 0: none, or lost
  bool proving_ GUARDED_BY(lease_mutex_) = false;
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
