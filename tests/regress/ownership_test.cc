#include "services/frontend/ownership.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>

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
  ~Cluster() { executor.DropTasks(); }
};

class DirectPeers : public Peers {
 public:
  explicit DirectPeers(Cluster& cluster) : cluster_(cluster) {}
  void RaiseToken(const v1::FrontEndRecord& front_end, const v1::SpaceRecord& space,
                  Callback<std::vector<ShardEpoch>> done) override {
    cluster_.members.at(front_end.address())->front_end.RaiseToken(space, std::move(done));
  }

 private:
  Cluster& cluster_;
};

Member::Member(Cluster& cluster, const std::string& id, uint64_t process)
    : coordinator(faults, cluster.coordinator),
      logs({&cluster.log}),
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
    cluster.coordinator.Get(ShardKey(id), [&](const StatusOr<std::optional<KeyValue>>& found) {
      v1::ShardRecord record;
      ASSERT_TRUE(record.ParseFromString((*found)->value));
      record.set_epoch(record.epoch() + 1);
      record.clear_owner();
      cluster.coordinator.Commit({{}, {{ShardKey(id), record.SerializeAsString()}}, {}},
                                 [](const StatusOr<TransactionReply>&) {});
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

}  // namespace
}  // namespace vswap
