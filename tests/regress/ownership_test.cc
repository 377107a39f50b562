#include "services/frontend/ownership.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/common/thread_pool.h"
#include "services/frontend/front_end.h"
#include "tests/support/faulty_coordinator.h"
#include "tests/support/front_end_client.h"
#include "tests/support/memory_coordinator.h"
#include "tests/support/memory_node.h"
#include "tests/support/memory_table_log.h"

// Front-ends that share the shards of one cluster, found by the simulation to leave some alone.
namespace vswap {
namespace {

constexpr uint32_t kShards = 2;

struct Cluster;

// Ends of leases do not arrive where a test says so.
class LossyCoordinator : public FaultyCoordinator {
 public:
  using FaultyCoordinator::FaultyCoordinator;
  void RevokeLease(LeaseId lease, Callback<LeaseId> done) override {
    if (!loses_revocations) {
      return FaultyCoordinator::RevokeLease(lease, std::move(done));
    }
    revoked.push_back(lease);
    done(MakeError(StatusCode::kUnavailable, "lost"));
  }
  bool loses_revocations = false;
  std::vector<LeaseId> revoked;
};

// Keeps writes back where a test says so.
class LogGate : public TableLog {
 public:
  explicit LogGate(TableLog& log) : log_(log) {}
  void Write(LogWrite write, Callback<bool> done) override {
    if (hold) {
      held.emplace_back(std::move(write), std::move(done));
    } else {
      log_.Write(std::move(write), std::move(done));
    }
  }
  void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) override {
    log_.Seal(shard, epoch, std::move(done));
  }
  void Read(ShardId shard, std::string cursor, uint32_t limit,
            Callback<LogReadReply> done) override {
    log_.Read(shard, std::move(cursor), limit, std::move(done));
  }
  void LetGo() {
    hold = false;
    for (auto& [write, done] : std::exchange(held, {})) {
      log_.Write(std::move(write), std::move(done));
    }
  }
  bool hold = false;
  std::vector<std::pair<LogWrite, Callback<bool>>> held;

 private:
  TableLog& log_;
};

// One of them, in the thread of all, with its own way to the coordinator.
struct Member {
  Member(Cluster& cluster, const std::string& id, uint64_t process);
  void Join();
  bool Serves(ShardId id) const;

  FaultScript faults;
  LossyCoordinator coordinator;
  LocalLogNodes logs;
  Membership membership;
  std::unique_ptr<Peers> peers;
  FrontEnd front_end;
};

struct Cluster {
  ManualExecutor executor;
  MemoryCoordinator coordinator;
  MemoryTableLog log;
  LogGate log_gate{log};
  MemoryNode compressed{{.mode = MemoryNode::Mode::kCompressed, .incarnation = 11}};
  MemoryNode physical{{.mode = MemoryNode::Mode::kPhysical, .incarnation = 12}};
  std::map<std::string, Member*> members;  // by address

  Placement placement() {
    Placement placement;
    placement.AddNode({1, Tier::kCompressed, "compressor", 11, &compressed});
    placement.AddNode({2, Tier::kPhysical, "store", 12, &physical});
    placement.AddSet(1, Tier::kCompressed, {1});
    placement.AddSet(2, Tier::kPhysical, {2});
    return placement;
  }
  void Wait() { executor.Advance(std::chrono::seconds(10)); }
  // As another front-end does: the shard's record under the next epoch.
  void TakeShard(ShardId id, const std::function<void(v1::ShardRecord&)>& change) {
    coordinator.Get(ShardKey(id), [&](const StatusOr<std::optional<KeyValue>>& found) {
      v1::ShardRecord record;
      ASSERT_TRUE(record.ParseFromString((*found)->value));
      record.set_epoch(record.epoch() + 1);
      change(record);
      coordinator.Commit({{}, {{ShardKey(id), record.SerializeAsString()}}, {}},
                         [](const StatusOr<TransactionReply>&) {});
    });
  }
  ~Cluster() { executor.DropTasks(); }
};

class DirectPeers : public Peers {
 public:
  explicit DirectPeers(Cluster& cluster) : cluster_(cluster) {}
  void RaiseToken(const v1::FrontEndRecord& front_end, const v1::SpaceRecord& space,
                  Callback<std::vector<ShardEpoch>> done) override {
    cluster_.members.at(front_end.address())->front_end.RaiseToken(space, std::move(done));
  }
  void GetNodeUse(const v1::FrontEndRecord& front_end, NodeId node, const std::vector<SetId>& sets,
                  Callback<NodeUse> done) override {
    done(cluster_.members.at(front_end.address())->front_end.UseOf(node, sets));
  }

 private:
  Cluster& cluster_;
};

Member::Member(Cluster& cluster, const std::string& id, uint64_t process)
    : coordinator(faults, cluster.coordinator),
      logs({&cluster.log_gate}),
      membership{.address = id, .process = process, .machine = id, .zone = ""},
      peers(std::make_unique<DirectPeers>(cluster)),
      front_end(
          {.id = id, .shard_count = kShards, .peers = peers.get(), .clock = &cluster.executor},
          coordinator, logs, cluster.placement(), cluster.executor) {
  cluster.members[id] = this;
}

void Member::Join() {
  front_end.Join(membership, [](const Status&) {});
}

bool Member::Serves(ShardId id) const {
  const auto shards = front_end.shards();
  return std::ranges::any_of(shards, [id](const auto& shard) { return shard->id() == id; });
}

TEST(Ownership, AShardWhoseClaimWasNotAnsweredAndIsNotWantedAnyMoreFindsAnOwner) {
  Cluster cluster;
  Member a(cluster, "a", 1);
  Member b(cluster, "b", 2);
  a.Join();
  cluster.executor.RunReady();
  // Its first look claims both shards, and does not hear of it.
  a.faults.Watch();
  a.faults.Inject(0, Fault::kFailAfter);
  cluster.executor.Advance(a.membership.look);
  ASSERT_EQ(a.faults.seen(), std::vector<CallKind>{CallKind::kCoordinatorCommit});
  a.faults.Unwatch();
  // One of them is to be the other's, who comes now.
  b.Join();
  cluster.Wait();
  for (ShardId id = 0; id < kShards; ++id) {
    EXPECT_NE(a.Serves(id), b.Serves(id)) << "shard " << id;
  }
  EXPECT_EQ(a.front_end.shards().size(), 1u);
}

TEST(Ownership, ALatePutOfTheRecordDoesNotTakeTheRecordOfALaterLeaseAway) {
  Cluster cluster;
  Member a(cluster, "a", 1);
  a.coordinator.loses_revocations = true;
  a.faults.Watch();
  // What it reads comes first.
  a.faults.Inject(5, Fault::kFailThenEffect);
  a.Join();
  cluster.executor.RunReady();
  ASSERT_EQ(a.faults.seen().back(), CallKind::kCoordinatorCommit);
  ASSERT_EQ(a.faults.kept(), 1u);
  ASSERT_EQ(a.coordinator.revoked.size(), 1u);
  a.faults.Unwatch();
  cluster.Wait();
  ASSERT_EQ(a.front_end.shards().size(), kShards);

  a.faults.LetGo();
  cluster.coordinator.ExpireLease(a.coordinator.revoked.front());
  std::optional<KeyValue> record;
  cluster.coordinator.Get("frontends/a",
                          [&](const StatusOr<std::optional<KeyValue>>& found) { record = *found; });
  EXPECT_TRUE(record.has_value());
}

TEST(Ownership, ALateAnswerToAClaimDoesNotHideWhatHasHappenedSince) {
  Cluster cluster;
  Member a(cluster, "a", 1);
  a.Join();
  cluster.executor.RunReady();
  a.faults.Watch();
  a.faults.Inject(0, Fault::kHoldAfter);
  cluster.executor.Advance(a.membership.look);
  ASSERT_EQ(a.faults.seen(), std::vector<CallKind>{CallKind::kCoordinatorCommit});
  a.faults.Unwatch();
  // Somebody else has had the shards meanwhile, and has given them back.
  for (ShardId id = 0; id < kShards; ++id) {
    cluster.TakeShard(id, [&](v1::ShardRecord& record) {
      record.clear_owner();
      cluster.log.Seal(id, record.epoch(), [](const StatusOr<LogEnd>&) {});
    });
  }
  a.faults.LetGo();
  cluster.Wait();
  EXPECT_EQ(a.front_end.shards().size(), kShards);
}

TEST(Ownership, ASpaceThatWasOpenedWhileItsOwnerOfTodayWasNotThereIsKnownToIt) {
  Cluster cluster;
  Member a(cluster, "a", 1);
  Member b(cluster, "b", 2);
  a.Join();
  cluster.Wait();
  // It has seen which spaces there are, and has no record yet.
  b.faults.Hold({CallKind::kCoordinatorCommit});
  b.Join();
  cluster.executor.RunReady();
  ASSERT_EQ(b.faults.kept(), 1u);
  std::optional<StatusOr<OpenReply>> opened;
  a.front_end.Open({.name = "s", .holder = "h", .create_pages = 1 << 20},
                   [&](StatusOr<OpenReply> reply) { opened = std::move(reply); });
  cluster.executor.RunReady();
  ASSERT_TRUE(opened && opened->ok());
  b.faults.Hold({});
  b.faults.LetGo();
  cluster.Wait();
  ASSERT_EQ(b.front_end.shards().size(), 1u);

  FrontEndClient client(**opened);
  client.SetEpochs(*b.front_end.GetShardMap());
  Offset offset = 0;
  while (!b.Serves(client.ShardAt(offset))) {
    offset += kStripePages;
  }
  Status loaded = MakeError(StatusCode::kUnknown, "no answer");
  b.front_end.Load({.header = client.Next(offset), .extents = {{offset, 1}}},
                   [&](const LoadReply& reply) { loaded = reply.status; });
  cluster.executor.RunReady();
  EXPECT_TRUE(loaded.ok()) << loaded;
}

TEST(Ownership, TheMapNamesNobodyForAShardThatIsNotServedYet) {
  Cluster cluster;
  Member a(cluster, "a", 1);
  Member b(cluster, "b", 2);
  a.Join();
  b.Join();
  cluster.Wait();
  const auto unserved = [](const Member& member) {
    const auto map = member.front_end.GetShardMap();
    return map.ok() ? std::ranges::count(map->owners, 0u) : -1;
  };
  ASSERT_EQ(unserved(a), 0);
  ASSERT_EQ(unserved(b), 0);
  // A shard that is given to it by the record, and that it does not serve.
  ASSERT_EQ(b.front_end.shards().size(), 1u);
  const ShardId id = b.front_end.shards().front()->id();
  cluster.TakeShard(id, [](v1::ShardRecord& record) {
    record.set_owner("a");
    record.set_owner_process(1);
  });
  EXPECT_EQ(unserved(a), 1);  // it knows better
  EXPECT_EQ(unserved(b), 0);
  cluster.Wait();
  EXPECT_EQ(unserved(a), 0);
}

TEST(Ownership, AShardThatIsTakenAwayBeforeItIsServedIsNotServed) {
  Cluster cluster;
  Member a(cluster, "a", 1);
  a.Join();
  cluster.executor.RunReady();
  // Its first write, which reserves versions, is answered late.
  cluster.log_gate.hold = true;
  cluster.executor.Advance(a.membership.look);
  ASSERT_EQ(cluster.log_gate.held.size(), kShards);
  for (ShardId id = 0; id < kShards; ++id) {
    cluster.TakeShard(id, [](v1::ShardRecord& record) { record.clear_owner(); });
  }
  cluster.log_gate.LetGo();
  EXPECT_EQ(a.front_end.shards().size(), 0u);
  cluster.Wait();
  ASSERT_EQ(a.front_end.shards().size(), kShards);
  for (const auto& shard : a.front_end.shards()) {
    EXPECT_EQ(shard->epoch(), 3u);
  }
}

}  // namespace
}  // namespace vswap
