#include "services/front_end_role.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <map>
#include <thread>
#include <utility>

#include "services/cluster/await.h"
#include "services/cluster/circuit_breaker.h"
#include "services/cluster/registry.h"
#include "services/cluster/remote_member.h"
#include "services/cluster/set_rules.h"
#include "services/common/thread_pool.h"
#include "services/frontend/remote_peers.h"
#include "services/serving.h"

namespace vswap {
namespace {

constexpr int kCoordinatorThreads = 1;
constexpr auto kCallMax = std::chrono::seconds(10);
// Whatever it takes: among others it goes on trying.
constexpr auto kJoinMax = std::chrono::hours(24 * 365);
constexpr auto kLeaveMax = std::chrono::seconds(2);
constexpr auto kPoll = std::chrono::milliseconds(100);
constexpr auto kRefreshRetry = std::chrono::seconds(1);

// The nodes of the cluster, as their records in the coordinator tell. Thread-safe.
class NodeDirectory : public LogNodes {
 public:
  explicit NodeDirectory(const Clock& clock) : clock_(clock) {}

  // The way to the node; made, or led to another address where that changed. Null where this
  // record or a later one is known. `registered`: it has registered since, and not only a drain of
  // it was changed, or it has left.
  CircuitBreaker* Take(const v1::NodeRecord& record, uint64_t revision, bool* registered) {
    MutexLock lock(mutex_);
    uint64_t& known = revisions_[record.node()];
    if (revision <= known) {
      return nullptr;
    }
    known = revision;
    auto& way = ways_[record.node()];
    if (way == nullptr) {
      way = std::make_unique<Way>(record.address(), record.name(), clock_);
    }
    way->member.SetAddress(record.address());
    v1::NodeRecord& before = records_[record.node()];
    *registered = !record.left() && before.registered_at_ms() != record.registered_at_ms();
    before = record;
    return &way->breaker;
  }
  // How long ago each has registered, as their clocks and ours say.
  std::vector<std::pair<NodeId, Duration>> Starts() {
    const uint64_t now = UnixTimeMs();
    std::vector<std::pair<NodeId, Duration>> starts;
    MutexLock lock(mutex_);
    for (const auto& [id, record] : records_) {
      const uint64_t ago = now - std::min(now, record.registered_at_ms());
      starts.emplace_back(id, std::chrono::milliseconds(ago));
    }
    return starts;
  }
  // Whether a node answers is told by it from now on.
  void Follow(const Placement& placement) { placement_ = &placement; }

  std::vector<Store> Stores() override {
    const Placement* const placement = placement_;
    std::vector<Store> stores;
    MutexLock lock(mutex_);
    for (const auto& [id, record] : records_) {
      const Placement::Member* const member = placement == nullptr ? nullptr : placement->Find(id);
      if (record.tier() == v1::TIER_PHYSICAL) {
        stores.push_back({.node = id,
                          .incarnation = LogIncarnation(record),
                          .machine = record.machine(),
                          .zone = record.zone(),
                          .draining = IsDraining(record) || record.left(),
                          .answers = member == nullptr || member->answers,
                          .log = &ways_.at(id)->member});
      }
    }
    return stores;
  }

 private:
  struct Way {
    Way(const std::string& address, const std::string& name, const Clock& clock)
        : member(address), breaker(member, {.name = name}, clock) {}
    RemoteMember member;
    CircuitBreaker breaker;
  };

  const Clock& clock_;
  Mutex mutex_;
  std::map<NodeId, std::unique_ptr<Way>> ways_ GUARDED_BY(mutex_);
  std::map<NodeId, v1::NodeRecord> records_ GUARDED_BY(mutex_);
  std::map<NodeId, uint64_t> revisions_ GUARDED_BY(mutex_);
  std::atomic<const Placement*> placement_{nullptr};
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
    const StatusOr<v1::ClusterRecord> cluster =
        FindOrMakeCluster(*coordinator_, NewCluster(), random_);
    if (!cluster.ok()) {
      return cluster.status();
    }
    Placement placement;
    for (const Tier tier : {Tier::kCompressed, Tier::kPhysical}) {
      placement.Want(tier, CopiesWanted(*cluster, static_cast<v1::Tier>(tier)));
    }
    AwaitNodes(placement);
    FrontEnd::Options front_end = ToFrontEndOptions(options_.front_end, options_.member.id);
    front_end.peers = &peers_;
    front_end_ = std::make_unique<FrontEnd>(std::move(front_end), *coordinator_, nodes_,
                                            std::move(placement), compute_);
    nodes_.Follow(front_end_->placement());
    for (const auto& [node, ago] : nodes_.Starts()) {
      front_end_->NoteStart(node, ago);
    }
    StatusOr<std::unique_ptr<Serving>> serving = Serving::Listen(
        options_.member.listen, options_.member.metrics_listen, *front_end_, *coordinator_, clock_);
    if (!serving.ok()) {
      return serving.status();
    }
    serving_ = *std::move(serving);
    watches_ = {WatchFor("nodes/"), WatchFor("sets/")};
    VSWAP_RETURN_IF_ERROR(
        AwaitStatus(kJoinMax, [&](auto done) { front_end_->Join(Me(), std::move(done)); }));
    while (!front_end_->ownership().AllOwned()) {
      std::this_thread::sleep_for(kPoll);
    }
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
    const Status left =
        AwaitStatus(kLeaveMax, [&](auto done) { front_end_->Leave(std::move(done)); });
    if (!left.ok()) {
      spdlog::warn("giving the lease back: {}", std::string(MessageOf(left)));
    }
    Stop();
    return Status();
  }

 private:
  v1::ClusterRecord NewCluster() const {
    v1::ClusterRecord record;
    record.set_shard_count(static_cast<uint32_t>(options_.front_end.shards));
    record.set_log_replicas(static_cast<uint32_t>(options_.log_replicas));
    record.set_compressed_replicas(static_cast<uint32_t>(options_.compressed_replicas));
    record.set_physical_replicas(static_cast<uint32_t>(options_.physical_replicas));
    return record;
  }

  Membership Me() {
    return {.address = AddressOf(options_.member, serving_->listen()),
            .process = random_.Next64(),
            .machine = options_.member.machine.empty() ? HostName() : options_.member.machine,
            .zone = options_.member.zone,
            .lease = std::chrono::seconds(options_.lease_seconds)};
  }

  // Until there is a compressor and a store.
  void AwaitNodes(Placement& placement) {
    for (bool said = false;; said = true) {
      const Status loaded = LoadNodes(placement);
      if (loaded.ok() && placement.Choose(Tier::kCompressed) && placement.Choose(Tier::kPhysical)) {
        return;
      }
      if (!said) {
        spdlog::info("waiting for at least one compressor and one store");
      }
      std::this_thread::sleep_for(kPoll);
    }
  }

  Status LoadNodes(Placement& placement) {
    // A set that names a node's later incarnation than is known would count as destroyed: nodes are
    // listed after sets.
    const auto sets = AwaitFor<std::vector<KeyValue>>(
        kCallMax, [&](auto done) { coordinator_->List("sets/", std::move(done)); });
    const auto nodes = AwaitFor<std::vector<KeyValue>>(
        kCallMax, [&](auto done) { coordinator_->List("nodes/", std::move(done)); });
    VSWAP_RETURN_IF_ERROR(nodes.status());
    VSWAP_RETURN_IF_ERROR(sets.status());
    ApplyNodes(*nodes, placement);
    ApplySets(*sets, placement);
    return Status();
  }

  // Returns those that have registered since.
  std::vector<NodeId> ApplyNodes(const std::vector<KeyValue>& records, Placement& placement) {
    std::vector<NodeId> changed;
    for (const KeyValue& entry : records) {
      v1::NodeRecord record;
      if (!record.ParseFromString(entry.value)) {
        spdlog::error("coordinator: the record {} cannot be read", entry.key);
        continue;
      }
      bool registered = false;
      if (CircuitBreaker* const node = nodes_.Take(record, entry.revision, &registered)) {
        placement.AddNode({.id = record.node(),
                           .tier = static_cast<Tier>(record.tier()),
                           .name = record.name(),
                           .incarnation = record.incarnation(),
                           .node = node,
                           .draining = IsDraining(record),
                           .drain_rate = record.drain_pages_per_second(),
                           .circuit = &node->counters(),
                           .left = record.left()});
        if (registered) {
          changed.push_back(record.node());
        }
      }
    }
    return changed;
  }

  // A set whose nodes are not known yet comes with the next look.
  static void ApplySets(const std::vector<KeyValue>& records, Placement& placement) {
    std::vector<Placement::SetInfo> sets;
    for (const KeyValue& entry : records) {
      v1::SetRecord record;
      if (!record.ParseFromString(entry.value)) {
        spdlog::error("coordinator: the record {} cannot be read", entry.key);
        continue;
      }
      const std::vector<NodeId> nodes(record.nodes().begin(), record.nodes().end());
      if (std::ranges::all_of(nodes,
                              [&](NodeId node) { return placement.Find(node) != nullptr; })) {
        sets.push_back({static_cast<SetId>(record.set()),
                        static_cast<Tier>(record.tier()),
                        nodes,
                        {record.incarnations().begin(), record.incarnations().end()}});
      }
    }
    placement.AddSets(sets);
  }

  // Nodes that join, come back elsewhere or come back empty.
  std::unique_ptr<WatchHandle> WatchFor(const std::string& prefix) {
    return coordinator_->Watch(
        prefix, 0,
        {.on_events = [this](const std::vector<WatchEvent>&) { Refresh(); },
         .on_resync = [this](const std::vector<KeyValue>&, uint64_t) { Refresh(); }});
  }

  // In the order of LoadNodes.
  void Refresh() {
    coordinator_->List("sets/", [this](const StatusOr<std::vector<KeyValue>>& sets) {
      if (!sets.ok()) {
        return coordinator_threads_.PostAfter(kRefreshRetry, [this] { Refresh(); });
      }
      coordinator_->List(
          "nodes/", [this, sets = *sets](const StatusOr<std::vector<KeyValue>>& nodes) {
            if (!nodes.ok()) {
              return coordinator_threads_.PostAfter(kRefreshRetry, [this] { Refresh(); });
            }
            const std::vector<NodeId> registered = ApplyNodes(*nodes, front_end_->placement());
            ApplySets(sets, front_end_->placement());
            for (const NodeId node : registered) {
              front_end_->CompareWith(node);
            }
          });
    });
  }

  void Stop() {
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
  NodeDirectory nodes_{clock_};
  RemotePeers peers_;
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
