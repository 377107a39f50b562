#include "services/frontend/ownership.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>

#include "services/cluster/registry.h"
#include "services/common/thread_pool.h"
#include "services/frontend/cluster_report.h"
#include "tests/support/await.h"
#include "tests/support/front_end_client.h"
#include "tests/support/memory_coordinator.h"
#include "tests/support/memory_node.h"
#include "tests/support/memory_table_log.h"
#include "tests/support/pages.h"

// Several front-ends, three stores for the logs, and one thread with a time of its own.
namespace vswap {
namespace {

constexpr uint32_t kShards = 8;
constexpr Duration kLease = std::chrono::seconds(2);

// Stands between front-ends and a store's log. Cut off, it never answers; or it fails at once.
class CutLog : public TableLog {
 public:
  explicit CutLog(MemoryTableLog& log) : log_(&log) {}
  // The store has lost what it had.
  void Replace(MemoryTableLog& log) { log_ = &log; }
  void Write(LogWrite write, Callback<bool> done) override {
    if (fails != StatusCode::kOk || refuses) {
      done(MakeError(refuses ? StatusCode::kInternal : fails, "the store fails"));
    } else if (!cut) {
      ++writes;
      log_->Write(std::move(write), std::move(done));
    }
  }
  void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) override {
    if (fails != StatusCode::kOk) {
      done(MakeError(fails, "the store fails"));
    } else if (!cut && late != Duration() && executor != nullptr) {
      executor->PostAfter(late, [this, shard, epoch, done] { log_->Seal(shard, epoch, done); });
    } else if (!cut) {
      log_->Seal(shard, epoch, std::move(done));
    }
  }
  void Read(ShardId shard, std::string cursor, uint32_t limit,
            Callback<LogReadReply> done) override {
    if (unread != StatusCode::kOk) {
      done(MakeError(unread, "it cannot be read"));
    } else if (!cut) {
      log_->Read(shard, std::move(cursor), limit, std::move(done));
    }
  }
  bool cut = false;
  bool refuses = false;                 // writes; it is heard all the time
  StatusCode unread = StatusCode::kOk;  // how reads fail; where it ends is told
  StatusCode fails = StatusCode::kOk;
  Executor* executor = nullptr;  // of `late`
  Duration late{};               // by which seals are answered; 0: at once
  int writes = 0;

 private:
  MemoryTableLog* log_;
};

class SomeStores : public LogNodes {
 public:
  std::vector<Store> Stores() override {
    for (Store& store : stores) {
      const auto* const log = static_cast<const CutLog*>(store.log);
      store.answers = !log->cut && log->fails == StatusCode::kOk;
    }
    return stores;
  }
  std::vector<Store> stores;
};

// A front-end and what it stands on; its own executor, so that it can be killed alone.
class Member : public Peers {
 public:
  // `name`: its address, too.
  Member(std::string name, std::string id, MemoryCoordinator& coordinator, LogNodes& logs,
         MemoryNode& compressed, MemoryNode& physical, std::map<std::string, Member*>& members)
      : name_(std::move(name)), lease_of_(coordinator, executor_), members_(members) {
    Placement placement;
    placement.AddNode({1, Tier::kCompressed, "compressor", 11, &compressed});
    placement.AddNode({2, Tier::kPhysical, "store", 12, &physical});
    placement.AddSet(1, Tier::kCompressed, {1});
    placement.AddSet(2, Tier::kPhysical, {2});
    front_end_ = std::make_unique<FrontEnd>(
        FrontEnd::Options{
            .id = std::move(id), .shard_count = kShards, .peers = this, .clock = &executor_},
        lease_of_, logs, std::move(placement), executor_);
    members_[name_] = this;
    Membership me;
    me.address = name_;
    me.process = ++processes;
    me.lease = kLease;
    front_end_->Join(me, [this](const Status& status) { started_ = status.ok(); });
  }
  ~Member() override {
    members_.erase(name_);
    executor_.DropTasks();
    front_end_.reset();
  }

  void RaiseToken(const v1::FrontEndRecord& front_end, const v1::SpaceRecord& space,
                  Callback<std::vector<ShardEpoch>> done) override {
    const auto it = members_.find(front_end.address());
    if (it == members_.end()) {
      return done(MakeError(StatusCode::kUnavailable, "it is dead"));
    }
    it->second->front_end_->RaiseToken(space, std::move(done));
  }
  void GetNodeUse(const v1::FrontEndRecord& front_end, NodeId node, const std::vector<SetId>& sets,
                  Callback<NodeUse> done) override {
    const auto it = members_.find(front_end.address());
    if (it == members_.end()) {
      return done(MakeError(StatusCode::kUnavailable, "it is dead"));
    }
    done(it->second->front_end_->UseOf(node, sets));
  }

  void Run(Duration time) { executor_.Advance(time); }
  FrontEnd& front_end() { return *front_end_; }
  Executor& executor() { return executor_; }
  bool started() const { return started_; }
  size_t owned() { return front_end_->shards().size(); }
  LeaseId lease() const { return lease_of_.lease; }
  // Runs before it hears what was listed.
  void OnNodesListed(std::function<void()> then) { lease_of_.on_nodes_listed = std::move(then); }
  // Its time is not moved on either, see OwnershipTest::Run.
  void Stop(bool stopped) {
    lease_of_.stopped = stopped;
    if (stopped) {
      members_.erase(name_);
    } else {
      members_[name_] = this;
    }
  }

  // No new one is granted once this one is over, until it may be.
  void GrantLease(bool granted) { lease_of_.stopped = !granted; }
  // The coordinator cannot be reached with a transaction, until it can be.
  void FailCommits(bool fail) { lease_of_.fail_commits = fail; }
  // It hears of the shards' records by which it joins that much later.
  void ListShardsLate(Duration late) { lease_of_.shards_late = late; }

  static inline uint64_t processes = 0;

 private:
  // Remembers the lease.
  class LeaseOf : public Coordinator {
   public:
    LeaseOf(MemoryCoordinator& coordinator, Executor& executor)
        : coordinator_(coordinator), executor_(executor) {}
    void Get(std::string key, Callback<std::optional<KeyValue>> done) override {
      coordinator_.Get(std::move(key), std::move(done));
    }
    void List(std::string prefix, Callback<std::vector<KeyValue>> done) override {
      if (prefix == "shards/" && shards_late != Duration()) {
        return executor_.PostAfter(shards_late,
                                   [this, prefix, done] { coordinator_.List(prefix, done); });
      }
      const bool told = prefix == "nodes/" && on_nodes_listed;
      coordinator_.List(std::move(prefix), [this, told, done](const auto& found) {
        if (told) {
          on_nodes_listed();
        }
        done(found);
      });
    }
    void Commit(Transaction transaction, Callback<TransactionReply> done) override {
      if (fail_commits) {
        return done(MakeError(StatusCode::kUnavailable, "the coordinator is away"));
      }
      coordinator_.Commit(std::move(transaction), std::move(done));
    }
    void GrantLease(Duration ttl, std::function<void(Status)> lost, Callback<Lease> done) override {
      if (stopped) {
        return done(MakeError(StatusCode::kUnavailable, "the process is stopped"));
      }
      coordinator_.GrantLease(ttl, std::move(lost), [this, done](StatusOr<Lease> granted) {
        lease = granted.ok() ? granted->id : 0;
        done(std::move(granted));
      });
    }
    void RevokeLease(LeaseId revoked, Callback<LeaseId> done) override {
      coordinator_.RevokeLease(revoked, std::move(done));
    }
    std::unique_ptr<WatchHandle> Watch(std::string prefix, uint64_t from,
                                       WatchHandler handler) override {
      return coordinator_.Watch(std::move(prefix), from, std::move(handler));
    }
    LeaseId lease = 0;
    bool stopped = false;
    bool fail_commits = false;
    std::function<void()> on_nodes_listed;
    Duration shards_late{};

   private:
    MemoryCoordinator& coordinator_;
    Executor& executor_;
  };

  const std::string name_;
  ManualExecutor executor_;
  LeaseOf lease_of_;
  std::map<std::string, Member*>& members_;
  std::unique_ptr<FrontEnd> front_end_;
  bool started_ = false;
};

class OwnershipTest : public testing::Test {
 protected:
  OwnershipTest() {
    v1::ClusterRecord cluster;
    cluster.set_shard_count(kShards);
    cluster.set_log_replicas(2);
    Put("cluster", cluster.SerializeAsString());
    for (size_t i = 0; i < logs_.size(); ++i) {
      LogNodes::Store store;
      store.node = static_cast<NodeId>(i + 1);
      store.incarnation = 1;
      store.machine = std::to_string(i);
      store.log = &cut_[i];
      stores_.stores.push_back(store);
    }
    Register();
  }

  // The stores, and no others.
  void Register() {
    Transaction transaction;
    for (NodeId node = 1; node < 100; ++node) {
      const auto it = std::ranges::find(stores_.stores, node, &LogNodes::Store::node);
      const std::string key = NumberedKey("nodes", node);
      if (it == stores_.stores.end()) {
        transaction.deletes.push_back(key);
      } else {
        transaction.puts.push_back({key, RecordOf(*it)});
      }
    }
    coordinator_.Commit(transaction, [](const StatusOr<TransactionReply>& reply) {
      EXPECT_TRUE(reply.ok() && reply->succeeded);
    });
  }
  static std::string RecordOf(const LogNodes::Store& store) {
    v1::NodeRecord record;
    record.set_node(store.node);
    record.set_tier(v1::TIER_PHYSICAL);
    record.set_incarnation(100 + store.incarnation);
    record.set_log_incarnation(store.incarnation);
    record.set_machine(store.machine);
    return record.SerializeAsString();
  }

  void Put(const std::string& key, const std::string& value) {
    coordinator_.Commit({{}, {{key, value}}, {}}, [](const StatusOr<TransactionReply>&) {});
  }
  std::unique_ptr<Member> Make(const std::string& name) { return Make(name, name); }
  std::unique_ptr<Member> Make(const std::string& address, const std::string& id) {
    return std::make_unique<Member>(address, id, coordinator_, stores_, compressed_, physical_,
                                    members_);
  }
  // And its lease is over.
  void Kill(std::unique_ptr<Member>& member) {
    const LeaseId lease = member->lease();
    member.reset();
    coordinator_.ExpireLease(lease);
  }
  // Moves the time of all on.
  void Run(Duration time) {
    for (Duration step = std::chrono::milliseconds(20); time > Duration::zero(); time -= step) {
      for (const auto& [name, member] : members_) {
        member->Run(step);
      }
    }
  }
  void RunUntil(const std::function<bool()>& condition) {
    for (int i = 0; i < 500 && !condition(); ++i) {
      Run(std::chrono::milliseconds(20));
    }
    EXPECT_TRUE(condition());
  }
  v1::ShardRecord RecordOf(ShardId shard) {
    v1::ShardRecord record;
    coordinator_.Get(ShardKey(shard), [&](const StatusOr<std::optional<KeyValue>>& found) {
      EXPECT_TRUE(record.ParseFromString((*found)->value));
    });
    return record;
  }
  std::vector<NodeId> FullOn(ShardId shard) {
    std::vector<NodeId> nodes;
    const v1::ShardRecord record = RecordOf(shard);
    for (const v1::LogReplica& replica : record.replicas()) {
      if (replica.full()) {
        nodes.push_back(replica.node());
      }
    }
    return nodes;
  }
  FrontEndClient Open(Member& member, const std::string& name = "a",
                      SpaceKind kind = SpaceKind::kDevice) {
    StatusOr<OpenReply> opened = MakeError(StatusCode::kUnknown, "no answer");
    member.front_end().Open({.name = name, .holder = "h", .create_pages = 1 << 20, .kind = kind},
                            [&](StatusOr<OpenReply> reply) { opened = std::move(reply); });
    RunUntil([&] { return opened.status().code() != StatusCode::kUnknown; });
    EXPECT_TRUE(opened.ok()) << opened.status();
    return FrontEndClient(opened.ok() ? *opened : OpenReply{});
  }
  MutationResult Store(Member& member, FrontEndClient& client, Offset offset, uint64_t number) {
    std::optional<MutationResult> result;
    const StoreCall call = client.MakeStore({{offset, PlainOf({1, offset, number}, true)}});
    member.front_end().Store(call, [&](const MutationResult& answer) { result = answer; });
    for (int i = 0; i < 500 && !result; ++i) {
      Run(std::chrono::milliseconds(20));
    }
    client.Answered(call.header);
    return result ? *result : MutationResult{MakeError(StatusCode::kUnknown, "none"), {}, 0, {}};
  }
  StatusOr<PageBytes> Load(Member& member, FrontEndClient& client, Offset offset) {
    LoadCall call;
    call.header = client.Next(offset);
    call.extents = {{offset, 1}};
    std::optional<LoadReply> result;
    member.front_end().Load(call, [&](LoadReply reply) { result = std::move(reply); });
    for (int i = 0; i < 500 && !result; ++i) {
      Run(std::chrono::milliseconds(20));
    }
    client.Answered(call.header);
    if (!result || !result->status.ok()) {
      return result ? result->status : MakeError(StatusCode::kUnknown, "none");
    }
    const auto plain = client.Plain(offset, result->pages[0]);
    return plain ? StatusOr<PageBytes>(*plain) : MakeError(StatusCode::kDataLoss, "damaged");
  }
  StatusOr<std::vector<BackingRun>> Extents(Member& member, FrontEndClient& client, Extent extent) {
    const RequestHeader header = client.Next(extent.offset);
    StatusOr<std::vector<BackingRun>> result = MakeError(StatusCode::kUnknown, "none");
    member.front_end().Extents(header, extent, [&](auto runs) { result = std::move(runs); });
    for (int i = 0; i < 500 && result.status().code() == StatusCode::kUnknown; ++i) {
      Run(std::chrono::milliseconds(20));
    }
    client.Answered(header);
    return result;
  }
  // An offset of a shard that the member owns.
  Offset OffsetOf(Member& member, const FrontEndClient& client) {
    const auto shards = member.front_end().shards();
    for (Offset offset = 0;; offset += kStripePages) {
      if (std::ranges::any_of(shards,
                              [&](const auto& s) { return s->id() == client.ShardAt(offset); })) {
        return offset;
      }
    }
  }

  MemoryCoordinator coordinator_;
  std::array<MemoryTableLog, 3> logs_;
  std::array<CutLog, 3> cut_{CutLog(logs_[0]), CutLog(logs_[1]), CutLog(logs_[2])};
  SomeStores stores_;
  MemoryNode compressed_{{.mode = MemoryNode::Mode::kCompressed,
                          .capacity_pages = 1 << 16,
                          .overlap_pages = 16,
                          .incarnation = 11}};
  MemoryNode physical_{{.mode = MemoryNode::Mode::kPhysical,
                        .capacity_pages = 1 << 16,
                        .overlap_pages = 16,
                        .incarnation = 12}};
  std::map<std::string, Member*> members_;
};

TEST_F(OwnershipTest, FrontEndsShareTheShards) {
  const auto a = Make("a");
  RunUntil([&] { return a->started(); });
  EXPECT_EQ(a->owned(), kShards);
  const auto b = Make("b");
  RunUntil([&] { return a->owned() == 4 && b->owned() == 4 && b->started(); });
  FrontEndClient client = Open(*b);
  for (Member* member : {a.get(), b.get()}) {
    const Offset offset = OffsetOf(*member, client);
    EXPECT_TRUE(Store(*member, client, offset, 1).status.ok());
    EXPECT_EQ(*Load(*member, client, offset), PlainOf({1, offset, 1}, true));
    Member& other = member == a.get() ? *b : *a;
    EXPECT_EQ(ReasonOf(Store(other, client, offset, 2).status), ErrorReason::kNotOwner);
    const auto map = other.front_end().GetShardMap();
    ASSERT_TRUE(map.ok());
    EXPECT_EQ(map->front_ends[map->owners[client.ShardAt(offset)] - 1],
              member == a.get() ? "a" : "b");
  }
  // A new attachment fences the old one on both.
  FrontEndClient next = Open(*a);
  for (Member* member : {a.get(), b.get()}) {
    const Offset offset = OffsetOf(*member, client);
    EXPECT_EQ(ReasonOf(Store(*member, client, offset, 3).status), ErrorReason::kFenced);
    EXPECT_EQ(ReasonOf(Load(*member, client, offset).status()), ErrorReason::kFenced);
    EXPECT_EQ(*Load(*member, next, offset), PlainOf({1, offset, 1}, true));
  }
}

// A node is forgotten only if no table names it, of whichever front-end.
TEST_F(OwnershipTest, AllFrontEndsAreAskedBeforeANodeIsForgotten) {
  const auto a = Make("a");
  auto b = Make("b");
  RunUntil([&] { return a->owned() == 4 && b->owned() == 4 && b->started(); });
  v1::NodeRecord node;
  node.set_node(4);
  node.set_name("old");
  Put("nodes/00004", node.SerializeAsString());
  v1::SetRecord set;
  set.set_set(1);
  set.add_nodes(4);
  Put("sets/00001", set.SerializeAsString());
  for (Member* member : {a.get(), b.get()}) {
    member->front_end().placement().AddNode({4, Tier::kCompressed, "old", 14, &compressed_});
    member->front_end().placement().Find(4)->answers = false;
  }
  const auto forget = [&] { return ForgetNode(a->front_end(), coordinator_, "old"); };
  const auto expect = [&](StatusCode code, const std::string& why) {
    const Status status = forget();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_NE(MessageOf(status).find(why), std::string::npos) << status;
  };
  FrontEndClient client = Open(*b);
  for (Member* member : {a.get(), b.get()}) {
    member->front_end().placement().Find(4)->answers = false;
  }
  ASSERT_TRUE(Store(*b, client, OffsetOf(*b, client), 1).status.ok());
  a->front_end().placement().Find(4)->answers = false;
  b->front_end().placement().Find(4)->answers = true;
  expect(StatusCode::kFailedPrecondition, "answers");
  b->front_end().placement().Find(4)->answers = false;
  expect(StatusCode::kFailedPrecondition, "named by 1 pages");
  b->Stop(true);
  expect(StatusCode::kUnavailable, "front-end b");
  b->Stop(false);
  const LeaseId lease = b->lease();
  b.reset();
  coordinator_.ExpireLease(lease);
  expect(StatusCode::kUnavailable, "is not served");
  RunUntil([&] { return a->owned() == kShards; });
  a->front_end().placement().Find(4)->answers = false;
  expect(StatusCode::kFailedPrecondition, "named by 1 pages");
}

TEST_F(OwnershipTest, TheShardsOfADeadFrontEndAreTaken) {
  const auto a = Make("a");
  auto b = Make("b");
  RunUntil([&] { return a->owned() == 4 && b->owned() == 4; });
  FrontEndClient client = Open(*a);
  const Offset offset = OffsetOf(*b, client);
  ASSERT_TRUE(Store(*b, client, offset, 1).status.ok());
  Kill(b);
  RunUntil([&] { return a->owned() == kShards; });
  client.SetEpochs(*a->front_end().GetShardMap());
  EXPECT_EQ(*Load(*a, client, offset), PlainOf({1, offset, 1}, true));
  EXPECT_TRUE(Store(*a, client, offset, 2).status.ok());
}

// Stopped for longer than its lease, replaced, and continued: it answers nothing old.
TEST_F(OwnershipTest, AFormerOwnerAnswersNothingOld) {
  const auto a = Make("a");
  const auto b = Make("b");
  RunUntil([&] { return a->owned() == 4 && b->owned() == 4; });
  FrontEndClient client = Open(*a);
  const Offset offset = OffsetOf(*b, client);
  ASSERT_TRUE(Store(*b, client, offset, 1).status.ok());
  FrontEndClient old = client;
  b->Stop(true);
  coordinator_.ExpireLease(b->lease());
  RunUntil([&] { return a->owned() == kShards; });
  client.SetEpochs(*a->front_end().GetShardMap());
  ASSERT_TRUE(Store(*a, client, offset, 2).status.ok());
  b->Stop(false);
  const StatusOr<PageBytes> loaded = Load(*b, old, offset);
  EXPECT_FALSE(loaded.ok()) << "it has answered what was overwritten meanwhile";
  EXPECT_FALSE(Store(*b, old, offset, 3).status.ok());
  EXPECT_EQ(*Load(*a, client, offset), PlainOf({1, offset, 2}, true));
  RunUntil([&] { return a->owned() == 4 && b->owned() == 4; });  // it comes back
}

// Started twice under one id: while the first may serve, the second has nothing.
TEST_F(OwnershipTest, ASecondProcessOfAnIdWaitsForTheLeaseOfTheFirst) {
  auto first = Make("a");
  RunUntil([&] { return first->started(); });
  FrontEndClient client = Open(*first);
  ASSERT_TRUE(Store(*first, client, 0, 1).status.ok());
  const auto second = Make("a, again", "a");
  Run(std::chrono::seconds(10));
  EXPECT_EQ(second->owned(), 0u);
  EXPECT_EQ(*Load(*first, client, 0), PlainOf({1, 0, 1}, true));
  Kill(first);
  RunUntil([&] { return second->owned() == kShards; });
  client.SetEpochs(*second->front_end().GetShardMap());
  EXPECT_EQ(*Load(*second, client, 0), PlainOf({1, 0, 1}, true));
}

// Cut off from the coordinator for longer than its lease, it proves what it tells, and tells it.
TEST_F(OwnershipTest, AnOwnerWithoutALeaseAnswersAllTheSame) {
  const auto a = Make("a");
  RunUntil([&] { return a->owned() == kShards; });
  FrontEndClient client = Open(*a);
  ASSERT_TRUE(Store(*a, client, 0, 1).status.ok());
  a->GrantLease(false);
  coordinator_.ExpireLease(a->lease());
  EXPECT_TRUE(Store(*a, client, 1, 1).status.ok());
  EXPECT_EQ(*Load(*a, client, 0), PlainOf({1, 0, 1}, true));
  const auto runs = Extents(*a, client, {0, 3});
  ASSERT_TRUE(runs.ok()) << runs.status();
  ASSERT_EQ(runs->size(), 2u);
  EXPECT_EQ(runs->front().pages, 2u);
  for (CutLog& log : cut_) {
    log.cut = true;
  }
  EXPECT_FALSE(Load(*a, client, 0).ok()) << "without a proof";
  EXPECT_FALSE(Extents(*a, client, {0, 3}).ok()) << "without a proof";
}

// Its lease has ended before its time, and its shards are another's.
TEST_F(OwnershipTest, AFrontEndThatHasLeftAnswersNothing) {
  const auto a = Make("a");
  const auto b = Make("b");
  RunUntil([&] { return a->owned() == 4 && b->owned() == 4; });
  const FrontEndClient client = Open(*a);
  FrontEndClient old = client;
  const Offset offset = OffsetOf(*b, client);
  ASSERT_TRUE(Store(*b, old, offset, 1).status.ok());
  b->front_end().Leave([](const Status& left) { EXPECT_TRUE(left.ok()) << left; });
  RunUntil([&] { return a->owned() == kShards; });
  EXPECT_FALSE(Load(*b, old, offset).ok()) << "it cannot know what was stored meanwhile";
}

// All were cut off from the coordinator for longer than their leases: who comes back first leaves
// the others' shards to them, also before it knows all that it joins by.
TEST_F(OwnershipTest, AllComeBackToTheirShards) {
  const auto a = Make("a");
  const auto b = Make("b");
  RunUntil([&] { return a->owned() == 4 && b->owned() == 4; });
  b->GrantLease(false);
  a->ListShardsLate(std::chrono::seconds(1));
  coordinator_.ExpireLease(a->lease());
  coordinator_.ExpireLease(b->lease());
  Run(std::chrono::milliseconds(2500));
  b->GrantLease(true);
  Run(std::chrono::seconds(10));
  EXPECT_EQ(a->front_end().counters().shards_lost + b->front_end().counters().shards_lost, 0u);
  EXPECT_EQ(a->owned(), 4u);
  EXPECT_EQ(b->owned(), 4u);
}

// Given up by one that lives, a shard is nobody's: that others' shards are left alone for a while
// after each lease must not keep it from being taken.
TEST_F(OwnershipTest, AShardOfNobodyIsTakenHoweverOftenTheLeaseEnds) {
  const auto a = Make("a");
  RunUntil([&] { return a->owned() == kShards; });
  coordinator_.ExpireLease(a->lease());
  v1::ShardRecord record = RecordOf(0);
  record.clear_owner();
  record.clear_owner_process();
  record.set_epoch(record.epoch() + 1);
  Put(ShardKey(0), record.SerializeAsString());
  EXPECT_EQ(a->owned(), kShards - 1);
  for (int i = 0; i < 5; ++i) {
    Run(kLease);
    coordinator_.ExpireLease(a->lease());
  }
  EXPECT_EQ(a->owned(), kShards);
}

TEST_F(OwnershipTest, LogsLieOnTwoMachines) {
  const auto a = Make("a");
  RunUntil([&] { return a->started(); });
  std::map<NodeId, int> counts;
  for (ShardId shard = 0; shard < kShards; ++shard) {
    const std::vector<NodeId> nodes = FullOn(shard);
    ASSERT_EQ(nodes.size(), 2u);
    EXPECT_NE(nodes[0], nodes[1]);
    ++counts[nodes[0]];
    ++counts[nodes[1]];
  }
  EXPECT_EQ(counts.size(), 3u);  // spread
}

// Else it would count as one until a write came.
TEST_F(OwnershipTest, ALostReplicaOfShardsThatNobodyWritesToIsReplaced) {
  const auto a = Make("a");
  RunUntil([&] { return a->started(); });
  Run(std::chrono::seconds(1));
  cut_[0].cut = true;
  RunUntil([&] {
    std::vector<ShardId> without;
    for (ShardId shard = 0; shard < kShards; ++shard) {
      const std::vector<NodeId> full = FullOn(shard);
      if (full.size() == 2 && std::ranges::count(full, NodeId{1}) == 0) {
        without.push_back(shard);
      }
    }
    return without.size() == kShards;
  });
}

TEST_F(OwnershipTest, ALostReplicaIsReplacedAndFilled) {
  const auto a = Make("a");
  RunUntil([&] { return a->started(); });
  FrontEndClient client = Open(*a);
  for (Offset offset = 0; offset < 3000; ++offset) {
    ASSERT_TRUE(Store(*a, client, offset, 1).status.ok());
  }
  const ShardId shard = client.ShardAt(0);
  const NodeId lost = FullOn(shard)[0];
  cut_[lost - 1].cut = true;
  // Undecided until the record says that the replica is none any more.
  const MutationResult stored = Store(*a, client, 1, 2);
  EXPECT_TRUE(stored.status.ok()) << stored.status;
  EXPECT_EQ(std::ranges::count(FullOn(shard), lost), 0);
  RunUntil([&] { return FullOn(shard).size() == 2; });
  const std::vector<NodeId> full = FullOn(shard);
  std::vector<std::vector<SlotRecord>> slots;
  for (const NodeId node : full) {
    slots.push_back(Await<LogReadReply>([&](auto done) {
                      logs_[node - 1].Read(shard, "", kLogReadSlotsMax, done);
                    })->slots);
  }
  EXPECT_EQ(slots[0].size(), 3000u);
  EXPECT_EQ(slots[0], slots[1]);
  // It comes back, with what it had: nobody asks it.
  cut_[lost - 1].cut = false;
  Run(std::chrono::seconds(5));
  EXPECT_EQ(FullOn(shard), full);
}

// Its disk is full: it would be chosen again and again.
TEST_F(OwnershipTest, AStoreThatRefusesWritesIsPassedOverForOneThatDoesNot) {
  const auto a = Make("a");
  RunUntil([&] { return a->started(); });
  FrontEndClient client = Open(*a);
  cut_[0].refuses = true;
  for (Offset stripe = 0; stripe < 32; ++stripe) {
    EXPECT_TRUE(Store(*a, client, stripe * kStripePages, 1).status.ok());
  }
  const auto each_has_two = [this](NodeId without) {
    for (ShardId shard = 0; shard < kShards; ++shard) {
      const std::vector<NodeId> full = FullOn(shard);
      if (full.size() != 2 || std::ranges::count(full, without) != 0) {
        return false;
      }
    }
    return true;
  };
  for (int i = 0; i < 6 && !each_has_two(1); ++i) {
    Run(std::chrono::seconds(10));
  }
  EXPECT_TRUE(each_has_two(1));
  // Better than none.
  cut_[0].refuses = false;
  cut_[1].cut = true;
  for (int i = 0; i < 6 && !each_has_two(2); ++i) {
    Run(std::chrono::seconds(10));
  }
  EXPECT_TRUE(each_has_two(2));
}

TEST_F(OwnershipTest, ThePagesSurviveAnyStoreThatHasALog) {
  for (size_t lost = 0; lost < logs_.size(); ++lost) {
    auto a = Make("a");
    RunUntil([&] { return a->started(); });
    FrontEndClient client = Open(*a);
    for (Offset stripe = 0; stripe < 32; ++stripe) {
      ASSERT_TRUE(Store(*a, client, stripe * kStripePages, lost + 1).status.ok());
    }
    Kill(a);
    cut_[lost].cut = true;  // together with the front-end
    a = Make("a2");
    RunUntil([&] { return a->started(); });
    client.SetEpochs(*a->front_end().GetShardMap());
    for (Offset stripe = 0; stripe < 32; ++stripe) {
      const auto loaded = Load(*a, client, stripe * kStripePages);
      ASSERT_TRUE(loaded.ok()) << loaded.status();
      EXPECT_EQ(*loaded, PlainOf({1, stripe * kStripePages, lost + 1}, true));
    }
    cut_[lost].cut = false;
    for (ShardId shard = 0; shard < kShards; ++shard) {
      RunUntil([&] { return FullOn(shard).size() == 2; });
    }
    Kill(a);
  }
}

TEST_F(OwnershipTest, ThePagesSurviveADamagedLog) {
  for (size_t damaged = 0; damaged < logs_.size(); ++damaged) {
    auto a = Make("a");
    RunUntil([&] { return a->started(); });
    FrontEndClient client = Open(*a);
    ASSERT_TRUE(Store(*a, client, 0, damaged + 1).status.ok());
    Kill(a);
    cut_[damaged].unread = StatusCode::kDataLoss;
    a = Make("a2");
    RunUntil([&] { return a->owned() == kShards; });
    client.SetEpochs(*a->front_end().GetShardMap());
    const auto loaded = Load(*a, client, 0);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(*loaded, PlainOf({1, 0, damaged + 1}, true));
    cut_[damaged].unread = StatusCode::kOk;
    for (ShardId shard = 0; shard < kShards; ++shard) {
      RunUntil([&] { return FullOn(shard).size() == 2; });
    }
    Kill(a);
  }
}

TEST_F(OwnershipTest, ASlowReplicaStaysWhereTheOtherIsDamaged) {
  auto a = Make("a");
  RunUntil([&] { return a->started(); });
  FrontEndClient client = Open(*a);
  ASSERT_TRUE(Store(*a, client, 0, 1).status.ok());
  const std::vector<NodeId> full = FullOn(client.ShardAt(0));
  Kill(a);
  cut_[full[0] - 1].unread = StatusCode::kDataLoss;
  cut_[full[1] - 1].cut = true;
  const auto b = Make("b");
  Run(std::chrono::seconds(10));
  EXPECT_EQ(FullOn(client.ShardAt(0)), full);
  cut_[full[1] - 1].cut = false;
  RunUntil([&] { return b->owned() == kShards; });
  client.SetEpochs(*b->front_end().GetShardMap());
  const auto loaded = Load(*b, client, 0);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(*loaded, PlainOf({1, 0, 1}, true));
}

// One replica has a write that the other has not: it was not acknowledged.
class OneIsAhead : public OwnershipTest {
 protected:
  void SetUp() override {
    auto a = Make("a");
    RunUntil([&] { return a->started(); });
    client_.emplace(Open(*a));
    ASSERT_TRUE(Store(*a, *client_, 0, 1).status.ok());
    full_ = FullOn(client_->ShardAt(0));
    Behind().cut = true;
    bool answered = false;
    const StoreCall call = client_->MakeStore({{0, PlainOf({1, 0, 2}, true)}});
    a->front_end().Store(call, [&](const MutationResult&) { answered = true; });
    Run(std::chrono::milliseconds(200));
    ASSERT_FALSE(answered);
    Kill(a);
    Behind().cut = false;
  }
  CutLog& Ahead() { return cut_[full_[0] - 1]; }
  CutLog& Behind() { return cut_[full_[1] - 1]; }
  uint64_t Loaded(Member& member) {
    client_->SetEpochs(*member.front_end().GetShardMap());
    const auto page = Load(member, *client_, 0);
    EXPECT_TRUE(page.ok()) << page.status();
    return page.ok() && *page == PlainOf({1, 0, 2}, true) ? 2 : 1;
  }

  std::optional<FrontEndClient> client_;
  std::vector<NodeId> full_;
};

TEST_F(OneIsAhead, AndIsReadOnceItCanBe) {
  Ahead().unread = StatusCode::kUnavailable;
  const auto b = Make("b");
  Run(std::chrono::seconds(10));
  EXPECT_LT(b->owned(), kShards);
  EXPECT_EQ(FullOn(client_->ShardAt(0)), full_);
  Ahead().unread = StatusCode::kOk;
  RunUntil([&] { return b->owned() == kShards; });
  EXPECT_EQ(Loaded(*b), 2u);
}

TEST_F(OneIsAhead, AndDamaged) {
  Ahead().unread = StatusCode::kDataLoss;
  const auto b = Make("b");
  RunUntil([&] { return b->owned() == kShards; });
  EXPECT_EQ(Loaded(*b), 1u);
}

TEST_F(OneIsAhead, ByMoreThanAnOwnerSends) {
  const ShardId shard = client_->ShardAt(0);
  MemoryTableLog& ahead = logs_[full_[0] - 1];
  const Epoch epoch = RecordOf(shard).epoch();
  const auto end = Await<LogEnd>([&](auto done) { ahead.Seal(shard, epoch, done); });
  ASSERT_TRUE(end.ok()) << end.status();
  LogWrite write;
  write.shard = shard;
  write.epoch = epoch;
  write.sequence = end->last_sequence + 1;
  write.versions_reserved = end->versions_reserved;
  ASSERT_TRUE(Await<bool>([&](auto done) { ahead.Write(write, done); }).ok());
  Ahead().unread = StatusCode::kDataLoss;
  const auto b = Make("b");
  Run(std::chrono::seconds(10));
  EXPECT_LT(b->owned(), kShards) << "what it serves is old";
  EXPECT_EQ(FullOn(shard), full_);
}

// The other one is slow each time, and answers while the damaged one is found out.
TEST_F(OneIsAhead, AndTheOtherAnswersLate) {
  Ahead().unread = StatusCode::kDataLoss;
  Behind().late = std::chrono::milliseconds(1500);
  const auto b = Make("b");
  Behind().executor = &b->executor();
  RunUntil([&] { return b->owned() == kShards; });
  EXPECT_EQ(Loaded(*b), 1u);
}

// It has some of the writes. With none that is full within reach the shard waits, and is served
// once there is one.
TEST_F(OwnershipTest, AReplicaThatIsBeingFilledIsNeverASource) {
  auto a = Make("a");
  RunUntil([&] { return a->started(); });
  FrontEndClient client = Open(*a);
  ASSERT_TRUE(Store(*a, client, 0, 1).status.ok());
  const ShardId shard = client.ShardAt(0);
  Kill(a);
  v1::ShardRecord record = RecordOf(shard);
  ASSERT_EQ(record.replicas_size(), 2);
  record.mutable_replicas(0)->set_full(false);
  Put(ShardKey(shard), record.SerializeAsString());
  CutLog& full = cut_[record.replicas(1).node() - 1];
  full.fails = StatusCode::kUnavailable;
  const auto b = Make("b");
  Run(std::chrono::seconds(20));
  EXPECT_EQ(b->owned(), kShards - 1);
  EXPECT_EQ(b->front_end().shards_waiting(), 1u);
  full.fails = StatusCode::kOk;
  RunUntil([&] { return b->owned() == kShards; });
  client.SetEpochs(*b->front_end().GetShardMap());
  EXPECT_EQ(*Load(*b, client, 0), PlainOf({1, 0, 1}, true));
}

// What the other replica has accepted is not acknowledged before the record names it alone.
TEST_F(OwnershipTest, NothingCountsOnOtherReplicasBeforeTheRecordNamesThem) {
  const auto a = Make("a");
  RunUntil([&] { return a->started(); });
  FrontEndClient client = Open(*a);
  const ShardId shard = client.ShardAt(0);
  const NodeId lost = FullOn(shard).front();
  cut_[lost - 1].cut = true;
  a->FailCommits(true);
  std::optional<MutationResult> result;
  const StoreCall call = client.MakeStore({{0, PlainOf({1, 0, 1}, true)}});
  a->front_end().Store(call, [&](const MutationResult& answer) { result = answer; });
  Run(std::chrono::seconds(20));
  EXPECT_FALSE(result.has_value());
  a->FailCommits(false);
  RunUntil([&] { return result.has_value(); });
  EXPECT_TRUE(result->status.ok());
  EXPECT_EQ(std::ranges::count(FullOn(shard), lost), 0);
}

TEST_F(OwnershipTest, TheLastFullReplicaIsNeverRemoved) {
  auto a = Make("a");
  RunUntil([&] { return a->started(); });
  FrontEndClient client = Open(*a);
  for (CutLog& log : cut_) {
    log.cut = true;
  }
  std::optional<MutationResult> result;
  const StoreCall call = client.MakeStore({{0, PlainOf({1, 0, 1}, true)}});
  a->front_end().Store(call, [&](const MutationResult& answer) { result = answer; });
  Run(std::chrono::seconds(10));
  EXPECT_FALSE(result.has_value()) << "acknowledged, though no replica has it";
  EXPECT_GE(FullOn(client.ShardAt(0)).size(), 1u);
  for (CutLog& log : cut_) {
    log.cut = false;
  }
  // What was written once is sent again only where an answer came; a new owner finds the rest.
  Kill(a);
  const auto b = Make("b");
  RunUntil([&] { return b->owned() == kShards; });
}

// The machines of all stores went down at once: only the owners know which page is where.
class AllLogsGone : public OwnershipTest {
 protected:
  static constexpr Offset kPages = 5000;

  AllLogsGone() {
    a_ = Make("a");
    RunUntil([&] { return a_->started(); });
    client_.emplace(Open(*a_));
    for (Offset offset = 0; offset < kPages; offset += kStripePages / 8) {
      EXPECT_TRUE(Store(*a_, *client_, offset, 1).status.ok());
      EXPECT_TRUE(Store(*a_, *client_, offset, 2).status.ok());
    }
  }
  void LoseLogs() {
    for (size_t i = 0; i < cut_.size(); ++i) {
      cut_[i].Replace(fresh_[i]);
      stores_.stores[i].incarnation = 2;
    }
    Register();
  }
  void Fail(StatusCode code) {
    for (CutLog& log : cut_) {
      log.fails = code;
    }
  }
  void ExpectPages(Member& member) {
    client_->SetEpochs(*member.front_end().GetShardMap());
    for (Offset offset = 0; offset < kPages; offset += kStripePages / 8) {
      const auto page = Load(member, *client_, offset);
      ASSERT_TRUE(page.ok()) << offset << ": " << page.status();
      ASSERT_EQ(*page, PlainOf({1, offset, 2}, true));
    }
  }

  std::array<MemoryTableLog, 3> fresh_{MemoryTableLog(nullptr, 2), MemoryTableLog(nullptr, 2),
                                       MemoryTableLog(nullptr, 2)};
  std::array<MemoryTableLog, 3> later_{MemoryTableLog(nullptr, 3), MemoryTableLog(nullptr, 3),
                                       MemoryTableLog(nullptr, 3)};
  std::unique_ptr<Member> a_;
  std::optional<FrontEndClient> client_;
};

TEST_F(AllLogsGone, TheyBeginAnewFromMemory) {
  EXPECT_EQ(a_->front_end().shards_degraded(), 0u);
  LoseLogs();
  RunUntil([&] { return a_->front_end().counters().logs_begun_anew == kShards; });
  RunUntil([&] { return a_->front_end().shards_degraded() == 0 && a_->owned() == kShards; });
  ExpectPages(*a_);
  EXPECT_TRUE(Store(*a_, *client_, 1, 1).status.ok());
  Kill(a_);
  const auto b = Make("b");
  RunUntil([&] { return b->owned() == kShards; });
  ExpectPages(*b);
  EXPECT_EQ(*Load(*b, *client_, 1), PlainOf({1, 1, 1}, true));
}

// It has reached none of the logs, and none of the hosts.
TEST_F(AllLogsGone, AWriteThatWasUnderWayIsNotAcknowledged) {
  for (CutLog& log : cut_) {
    log.cut = true;
  }
  std::optional<MutationResult> result;
  const StoreCall call = client_->MakeStore({{0, PlainOf({1, 0, 3}, true)}});
  a_->front_end().Store(call, [&](const MutationResult& answer) { result = answer; });
  Run(std::chrono::milliseconds(100));
  EXPECT_FALSE(result.has_value());
  for (CutLog& log : cut_) {
    log.cut = false;
  }
  LoseLogs();
  RunUntil([&] { return result.has_value(); });
  EXPECT_EQ(ReasonOf(result->status), ErrorReason::kNotServing);
  client_->Answered(call.header);
  RunUntil([&] { return a_->front_end().shards_degraded() == 0 && a_->owned() == kShards; });
  ExpectPages(*a_);
}

// As long as no store takes a new one, its process is all that has the table.
TEST_F(AllLogsGone, AShardThatIsInMemoryOnlyIsNotGivenAway) {
  LoseLogs();
  Fail(StatusCode::kUnavailable);
  const auto b = Make("b");
  Run(std::chrono::seconds(5));
  a_->front_end().Stop();
  Run(std::chrono::seconds(5));
  EXPECT_FALSE(a_->front_end().Idle());
  EXPECT_EQ(b->owned(), 0u);
  Fail(StatusCode::kOk);
  RunUntil([&] { return a_->front_end().Idle() && a_->owned() + b->owned() == kShards; });
  Kill(a_);
  RunUntil([&] { return b->owned() == kShards; });
  ExpectPages(*b);
}

// Whoever takes the table over has read the logs, but is not served by them when they go.
TEST_F(AllLogsGone, BeforeANewOwnerHasWrittenToThem) {
  for (CutLog& log : cut_) {
    log.refuses = true;
  }
  Kill(a_);
  const auto b = Make("b");
  Run(std::chrono::seconds(1));
  EXPECT_EQ(b->owned(), 0u);
  LoseLogs();
  Run(std::chrono::seconds(3));
  for (CutLog& log : cut_) {
    log.refuses = false;
  }
  RunUntil([&] { return b->front_end().shards_degraded() == 0 && b->owned() == kShards; });
  ExpectPages(*b);
}

// Nobody knows yet that the stores have lost the new ones as well.
TEST_F(AllLogsGone, AndThoseThatBeginAnewAreToo) {
  LoseLogs();
  for (size_t i = 0; i < cut_.size(); ++i) {
    cut_[i].Replace(later_[i]);
  }
  Run(std::chrono::seconds(5));
  EXPECT_EQ(a_->front_end().counters().logs_begun_anew, kShards);
  EXPECT_EQ(a_->front_end().shards_degraded(), kShards);
  for (LogNodes::Store& store : stores_.stores) {
    store.incarnation = 3;
  }
  Register();
  RunUntil([&] { return a_->front_end().shards_degraded() == 0 && a_->owned() == kShards; });
  ExpectPages(*a_);
}

// The others cannot serve what only it has: they leave it time to come back.
TEST_F(AllLogsGone, AndTheLeaseOfTheOwner) {
  const auto b = Make("b");
  RunUntil([&] { return a_->owned() == 4 && b->owned() == 4; });
  LoseLogs();
  Fail(StatusCode::kUnavailable);
  a_->GrantLease(false);
  coordinator_.ExpireLease(a_->lease());
  Run(2 * kLease);
  a_->GrantLease(true);
  Run(kLease);
  Fail(StatusCode::kOk);
  RunUntil([&] {
    return a_->owned() + b->owned() == kShards &&
           a_->front_end().shards_degraded() + b->front_end().shards_degraded() == 0;
  });
  Kill(a_);
  RunUntil([&] { return b->owned() == kShards; });
  ExpectPages(*b);
}

// What this front-end knows of the stores is older than the record.
TEST_F(AllLogsGone, IsToldByTheCoordinator) {
  for (LogNodes::Store& store : stores_.stores) {
    store.incarnation = 2;
  }
  Run(std::chrono::seconds(5));
  EXPECT_EQ(a_->front_end().counters().logs_begun_anew, 0u);
  EXPECT_EQ(a_->front_end().shards_degraded(), kShards);
  ExpectPages(*a_);
}

TEST_F(OwnershipTest, AStoreThatMovesToAnothersMachineKeepsNoReplicasOfTheSameLogs) {
  const auto a = Make("a");
  RunUntil([&] { return a->started(); });
  stores_.stores[1].machine = stores_.stores[0].machine;
  RunUntil([&] {
    for (ShardId shard = 0; shard < kShards; ++shard) {
      const std::vector<NodeId> full = FullOn(shard);
      if (full.size() != 2 || std::ranges::count(full, 3u) != 1) {
        return false;
      }
    }
    return true;
  });
  RunUntil([&] { return a->front_end().shards_degraded() == 0; });
  stores_.stores[2].machine = stores_.stores[0].machine;  // no other one is left
  Run(std::chrono::seconds(5));
  EXPECT_EQ(a->front_end().shards_degraded(), kShards);
  for (ShardId shard = 0; shard < kShards; ++shard) {
    EXPECT_EQ(FullOn(shard).size(), 2u);
  }
}

TEST_F(OwnershipTest, AStoreThatDrainsLosesItsReplicas) {
  const auto a = Make("a");
  RunUntil([&] { return a->started(); });
  stores_.stores[0].draining = true;
  RunUntil([&] {
    for (ShardId shard = 0; shard < kShards; ++shard) {
      const auto record = RecordOf(shard);
      for (const v1::LogReplica& replica : record.replicas()) {
        if (replica.node() == 1) {
          return false;
        }
      }
    }
    return true;
  });
  for (ShardId shard = 0; shard < kShards; ++shard) {
    EXPECT_EQ(FullOn(shard).size(), 2u);
  }
}

// The stores of the logs are others now, with what these had still on their disks.
class GivenUpTest : public OwnershipTest {
 protected:
  // In the front-ends' eyes; and in the coordinator's.
  void LoseSightOfStores() {
    for (LogNodes::Store& store : stores_.stores) {
      store.node += 10;
    }
  }
  void ReplaceStores() {
    LoseSightOfStores();
    Register();
  }
  Status GiveUp(Member& member, ShardId shard, bool silent_too = false) {
    Status result = MakeError(StatusCode::kUnknown, "no answer");
    member.front_end().GiveUpPages(shard, silent_too,
                                   [&](const Status& status) { result = status; });
    for (int i = 0; i < 500 && result.code() == StatusCode::kUnknown; ++i) {
      Run(std::chrono::milliseconds(20));
    }
    return result;
  }
  // As an operator does, between the tries to take it.
  Status GiveUpSoon(Member& member, ShardId shard, bool silent_too = false) {
    Status result;
    for (int i = 0; i < 100; ++i) {
      result = GiveUp(member, shard, silent_too);
      if (result.code() != StatusCode::kAborted) {
        break;
      }
      Run(std::chrono::milliseconds(100));
    }
    return result;
  }
  PageCode LoadCode(Member& member, FrontEndClient& client, Offset offset,
                    SpaceKind kind = SpaceKind::kDevice) {
    LoadCall call;
    call.header = client.Next(offset);
    call.extents = {{offset, 1}};
    call.kind = kind;
    PageCode code = PageCode::kUnset;
    Encoding encoding = Encoding::kUnset;
    member.front_end().Load(call, [&](const LoadReply& reply) {
      EXPECT_TRUE(reply.status.ok()) << reply.status;
      code = reply.status.ok() ? reply.pages[0].code : PageCode::kUnset;
      encoding = reply.status.ok() ? reply.pages[0].encoding : Encoding::kUnset;
    });
    Run(std::chrono::milliseconds(100));
    client.Answered(call.header);
    zero_ = code == PageCode::kOk && encoding == Encoding::kZero;
    return code;
  }
  bool IsZero(Member& member, FrontEndClient& client, Offset offset) {
    return LoadCode(member, client, offset) == PageCode::kOk && zero_;
  }
  MutationResult Free(Member& member, FrontEndClient& client, Extent extent,
                      SpaceKind kind = SpaceKind::kDevice) {
    FreeCall call;
    call.header = client.Next(extent.offset);
    call.extents = {extent};
    call.kind = kind;
    std::optional<MutationResult> result;
    member.front_end().Free(call, [&](const MutationResult& answer) { result = answer; });
    Run(std::chrono::milliseconds(200));
    client.Answered(call.header);
    return result ? *result : MutationResult{MakeError(StatusCode::kUnknown, "none"), {}, 0, {}};
  }

  bool zero_ = false;
};

TEST_F(GivenUpTest, AShardWithoutALogBeginsAnewWhenAnOperatorSaysSo) {
  auto a = Make("a");
  RunUntil([&] { return a->started(); });
  FrontEndClient client = Open(*a);
  for (Offset offset = 0; offset < 8; ++offset) {
    ASSERT_TRUE(Store(*a, client, offset, 1).status.ok());
  }
  const ShardId shard = client.ShardAt(0);
  EXPECT_EQ(GiveUp(*a, shard).code(), StatusCode::kFailedPrecondition) << "it is served";
  EXPECT_EQ(GiveUp(*a, kShards).code(), StatusCode::kInvalidArgument);
  Kill(a);
  ReplaceStores();
  auto b = Make("b");
  Run(std::chrono::seconds(10));
  EXPECT_TRUE(b->started()) << "it waits for what it cannot have";
  EXPECT_EQ(b->owned(), 0u);
  EXPECT_EQ(b->front_end().shards_waiting(), kShards);

  const Status given_up = GiveUpSoon(*b, shard);
  ASSERT_TRUE(given_up.ok()) << given_up;
  EXPECT_EQ(b->owned(), 1u);
  EXPECT_EQ(b->front_end().shards_waiting(), kShards - 1);
  EXPECT_EQ(FullOn(shard).size(), 2u);
  client.SetEpochs(*b->front_end().GetShardMap());
  // What was there, and what may have been, is lost, not free and not what a store still has.
  for (const Offset offset : {0, 7, 8, 15}) {
    EXPECT_EQ(LoadCode(*b, client, offset), PageCode::kDataLoss) << offset;
  }
  // It can be stored to, and freed.
  ASSERT_TRUE(Store(*b, client, 1, 2).status.ok());
  ASSERT_TRUE(Store(*b, client, 2, 2).status.ok());
  EXPECT_EQ(*Load(*b, client, 1), PlainOf({1, 1, 2}, true));
  EXPECT_EQ(Free(*b, client, {2, 2}).freed_pages, 2u);
  EXPECT_TRUE(IsZero(*b, client, 2));
  EXPECT_TRUE(IsZero(*b, client, 3));
  EXPECT_EQ(Free(*b, client, {2, 2}).freed_pages, 0u);
  EXPECT_GE(b->front_end().shards()[0]->next_version(), kVersionsPerLog);
  // What the nodes still have of it goes.
  Run(std::chrono::seconds(5));
  EXPECT_EQ(compressed_.Names().size() + physical_.Names().size(), 1u);

  // The next owner knows it too, and a second time is as the first.
  for (int time = 2; time <= 3; ++time) {
    Kill(b);
    b = Make("b" + std::to_string(time));
    RunUntil([&] { return b->owned() == 1; });
    client.SetEpochs(*b->front_end().GetShardMap());
    EXPECT_EQ(LoadCode(*b, client, 0), PageCode::kDataLoss);
    EXPECT_EQ(*Load(*b, client, 1), PlainOf({1, 1, 2}, true));
    EXPECT_TRUE(IsZero(*b, client, 2));
    EXPECT_TRUE(IsZero(*b, client, 3));
  }
  Kill(b);
  ReplaceStores();
  b = Make("c");
  Run(std::chrono::seconds(10));
  ASSERT_TRUE(GiveUpSoon(*b, shard).ok());
  client.SetEpochs(*b->front_end().GetShardMap());
  for (const Offset offset : {0, 1, 2}) {
    EXPECT_EQ(LoadCode(*b, client, offset), PageCode::kDataLoss) << offset;
  }
  EXPECT_GE(b->front_end().shards()[0]->next_version(), 2 * kVersionsPerLog);
}

TEST_F(GivenUpTest, AShardWhoseLogMayComeBackIsGivenUpOnlyIfThatIsMeant) {
  auto a = Make("a");
  RunUntil([&] { return a->started(); });
  FrontEndClient client = Open(*a);
  ASSERT_TRUE(Store(*a, client, 0, 1).status.ok());
  const ShardId shard = client.ShardAt(0);
  const std::vector<NodeId> full = FullOn(shard);
  Kill(a);
  // One does not answer, the other cannot write: both may be mended.
  cut_[full[0] - 1].fails = StatusCode::kUnavailable;
  cut_[full[1] - 1].fails = StatusCode::kInternal;
  const auto b = Make("b");
  Run(std::chrono::seconds(10));
  EXPECT_EQ(GiveUpSoon(*b, shard).code(), StatusCode::kFailedPrecondition);
  cut_[full[0] - 1].fails = StatusCode::kInternal;
  Run(std::chrono::seconds(5));
  EXPECT_EQ(GiveUpSoon(*b, shard).code(), StatusCode::kFailedPrecondition);
  const Status given_up = GiveUpSoon(*b, shard, /*silent_too=*/true);
  EXPECT_TRUE(given_up.ok()) << given_up;
  // Its stores come back: too late.
  for (const NodeId node : full) {
    cut_[node - 1].fails = StatusCode::kOk;
  }
  RunUntil([&] { return b->owned() == kShards; });
  client.SetEpochs(*b->front_end().GetShardMap());
  EXPECT_EQ(LoadCode(*b, client, 0), PageCode::kDataLoss);
}

TEST_F(GivenUpTest, OneThatWaitsForAStoreIsNotGivenUpAgain) {
  auto a = Make("a");
  RunUntil([&] { return a->started(); });
  FrontEndClient client = Open(*a);
  ASSERT_TRUE(Store(*a, client, 0, 1).status.ok());
  const ShardId shard = client.ShardAt(0);
  Kill(a);
  const std::vector<LogNodes::Store> stores = std::exchange(stores_.stores, {});
  Register();
  const auto b = Make("b");
  Run(std::chrono::seconds(10));
  EXPECT_FALSE(GiveUpSoon(*b, shard).ok());
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(GiveUpSoon(*b, shard).code(), StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(RecordOf(shard).times_given_up(), 1u);
  stores_.stores = stores;  // with what they held
  Register();
  RunUntil([&] { return b->owned() == kShards; });
  client.SetEpochs(*b->front_end().GetShardMap());
  EXPECT_EQ(LoadCode(*b, client, 0), PageCode::kDataLoss);
}

TEST_F(GivenUpTest, WhetherAStoreIsGoneIsToldByTheCoordinator) {
  auto a = Make("a");
  RunUntil([&] { return a->started(); });
  FrontEndClient client = Open(*a);
  ASSERT_TRUE(Store(*a, client, 0, 1).status.ok());
  const ShardId shard = client.ShardAt(0);
  const NodeId node = FullOn(shard)[0];
  const LogNodes::Store store = stores_.stores[node - 1];
  Kill(a);
  // The front-end has not heard yet that they are registered.
  LoseSightOfStores();
  const auto b = Make("b");
  Run(std::chrono::seconds(10));
  EXPECT_EQ(GiveUpSoon(*b, shard).code(), StatusCode::kFailedPrecondition);
  // One comes back between the look and the change.
  Register();
  const std::string key = NumberedKey("nodes", node);
  b->OnNodesListed([this, key, store] { Put(key, RecordOf(store)); });
  EXPECT_EQ(GiveUp(*b, shard).code(), StatusCode::kAborted);
  b->OnNodesListed(nullptr);
  EXPECT_EQ(RecordOf(shard).times_given_up(), 0u);
  EXPECT_EQ(GiveUpSoon(*b, shard).code(), StatusCode::kFailedPrecondition);
  Register();
  EXPECT_TRUE(GiveUpSoon(*b, shard).ok());
}

TEST_F(GivenUpTest, TokensAreThoseOfTodayAndNewSpacesHaveLostNothing) {
  auto a = Make("a");
  RunUntil([&] { return a->started(); });
  FrontEndClient old = Open(*a);
  FrontEndClient client = Open(*a);
  Kill(a);
  ReplaceStores();
  const auto b = Make("b");
  Run(std::chrono::seconds(10));
  for (ShardId shard = 0; shard < kShards; ++shard) {
    ASSERT_TRUE(GiveUpSoon(*b, shard).ok());
  }
  old.SetEpochs(*b->front_end().GetShardMap());
  client.SetEpochs(*b->front_end().GetShardMap());
  EXPECT_EQ(ReasonOf(Store(*b, old, 0, 1).status), ErrorReason::kFenced);
  EXPECT_TRUE(Store(*b, client, 0, 2).status.ok());

  FrontEndClient newcomer = Open(*b, "new");
  EXPECT_TRUE(IsZero(*b, newcomer, 0));
}

TEST_F(GivenUpTest, EntriesOfAnAllocatedSpaceStayLost) {
  auto a = Make("a");
  RunUntil([&] { return a->started(); });
  FrontEndClient client = Open(*a, "e", SpaceKind::kAllocated);
  Kill(a);
  ReplaceStores();
  const auto b = Make("b");
  Run(std::chrono::seconds(10));
  const ShardId shard = client.ShardAt(0);
  ASSERT_TRUE(GiveUpSoon(*b, shard).ok());
  client.SetEpochs(*b->front_end().GetShardMap());
  EXPECT_EQ(LoadCode(*b, client, 0, SpaceKind::kAllocated), PageCode::kDataLoss);
  // Who refers to it is not known, so nothing is stored to it, and nobody is given it.
  std::optional<MutationResult> result;
  const auto note = [&](const MutationResult& answer) { result = answer; };
  StoreCall store = client.MakeStore({{0, PlainOf({1, 0, 1}, true)}});
  store.kind = SpaceKind::kAllocated;
  b->front_end().Store(store, note);
  Run(std::chrono::milliseconds(200));
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->codes, std::vector<PageCode>{PageCode::kFailedPrecondition});
  DuplicateCall duplicate;
  duplicate.header = client.NextOn(shard);
  duplicate.extents = {{0, 1}};
  b->front_end().Duplicate(duplicate, note);
  Run(std::chrono::milliseconds(200));
  EXPECT_EQ(result->codes, std::vector<PageCode>{PageCode::kResourceExhausted});
  AllocateCall allocate;
  allocate.header = client.NextOn(shard);
  allocate.shape = {0, 1, 1 << 20, kShards};
  b->front_end().Allocate(allocate, note);
  Run(std::chrono::milliseconds(200));
  EXPECT_EQ(result->status.code(), StatusCode::kResourceExhausted);
  const MutationResult freed = Free(*b, client, {0, 1}, SpaceKind::kAllocated);
  EXPECT_TRUE(freed.status.ok()) << freed.status;
  EXPECT_EQ(freed.freed_pages, 0u);
  EXPECT_EQ(LoadCode(*b, client, 0, SpaceKind::kAllocated), PageCode::kDataLoss);
}

}  // namespace
}  // namespace vswap
