#include <gtest/gtest.h>

#include <array>
#include <map>
#include <optional>
#include <string>
#include <variant>

#include "services/cluster/registry.h"
#include "services/common/thread_pool.h"
#include "services/frontend/cluster_report.h"
#include "services/frontend/front_end.h"
#include "tests/support/front_end_client.h"
#include "tests/support/memory_coordinator.h"
#include "tests/support/memory_node.h"
#include "tests/support/memory_table_log.h"
#include "tests/support/node_calls.h"
#include "tests/support/pages.h"

// Pages with two copies, on four compressors in a ring of sets, and one thread with a time of its
// own.
namespace vswap {
namespace {

constexpr NodeId kCompressors = 4;
constexpr NodeId kStore = 9;

PageBytes PageOf(Offset offset, uint64_t number) { return PlainOf({1, offset, number}, true); }

constexpr Duration kSlowGet = std::chrono::milliseconds(50);

// Between the front-end and a node. Cut off, every call fails; what it had kept is kept.
class CutNode : public Node {
 public:
  CutNode(MemoryNode& node, Incarnation own) : incarnation(own), node_(node) {}
  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override {
    cut ? Fail(done) : node_.Put(std::move(pages), lane, std::move(done));
  }
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override {
    ++gets;
    if (stopped) {
      held_.push_back([this, names, lane, done] { node_.Get(names, lane, done); });
      return;
    }
    if (slow != nullptr) {
      return slow->PostAfter(kSlowGet, [this, names, lane, done] { node_.Get(names, lane, done); });
    }
    cut ? Fail(done) : node_.Get(std::move(names), lane, std::move(done));
  }
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override {
    ++deletes;
    if (strange) {
      return done(~Incarnation{0});
    }
    cut ? Fail(done) : node_.Delete(std::move(names), std::move(done));
  }
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override {
    if (passed_by) {
      return done(InventoryReply{incarnation, {}, ""});
    }
    cut || unlisted ? Fail(done) : node_.Inventory(std::move(cursor), limit, std::move(done));
  }
  void Verify(std::vector<PageName> names, Callback<VerifyReply> done) override {
    cut ? Fail(done) : node_.Verify(std::move(names), std::move(done));
  }
  void Statistics(Callback<NodeStatistics> done) override {
    cut ? Fail(done) : node_.Statistics(std::move(done));
  }
  // Gets that came while it was stopped are answered now.
  void Continue() {
    stopped = false;
    for (const auto& call : std::exchange(held_, {})) {
      call();
    }
  }
  const Incarnation incarnation;
  bool cut = false;
  bool unlisted = false;     // listings fail, and nothing else
  bool passed_by = false;    // all that it has was put behind its listings
  bool stopped = false;      // for gets only
  bool strange = false;      // another incarnation, which knows nothing, answers deletes
  Executor* slow = nullptr;  // gets take kSlowGet of its time
  int gets = 0;
  int deletes = 0;

 private:
  template <typename T>
  static void Fail(const Callback<T>& done) {
    done(MakeError(StatusCode::kUnavailable, "the node is cut off"));
  }
  MemoryNode& node_;
  std::vector<std::function<void()>> held_;
};

struct TestNode {
  explicit TestNode(const MemoryNode::Options& options)
      : memory(options), cut(memory, options.incarnation) {}
  MemoryNode memory;
  CutNode cut;
};

struct Shape {
  NodeId compressors = kCompressors;
  std::map<NodeId, uint64_t> room = {};  // of compressors, in pages
  std::vector<NodeId> stores = {kStore};
  std::optional<Writeback::Options> writeback = std::nullopt;
  Duration compare_every{};
};

class PageReplicas : public testing::Test {
 protected:
  explicit PageReplicas(Shape shape = {}) : shape_(std::move(shape)) {
    for (NodeId id = 1; id <= shape_.compressors; ++id) {
      const auto room = shape_.room.find(id);
      nodes_.emplace(id, std::make_unique<TestNode>(MemoryNode::Options{
                             .mode = MemoryNode::Mode::kCompressed,
                             .capacity_pages = room == shape_.room.end() ? 1 << 20 : room->second,
                             .incarnation = id * 10}));
    }
    for (const NodeId id : shape_.stores) {
      nodes_.emplace(id, std::make_unique<TestNode>(MemoryNode::Options{.incarnation = id * 10}));
    }
    Start(AllSets());
    Reopen();
  }
  ~PageReplicas() override { Stop(); }

  // One of each node; a ring of two compressors each, and all stores.
  std::vector<Placement::SetInfo> AllSets() {
    std::vector<Placement::SetInfo> sets;
    for (const auto& [id, node] : nodes_) {
      sets.push_back({static_cast<SetId>(id), Info(id).tier, {id}});
    }
    for (NodeId id = 1; id <= shape_.compressors; ++id) {
      const NodeId next = id % shape_.compressors + 1;
      sets.push_back(
          {static_cast<SetId>(20 + id), Tier::kCompressed, {id, next}, {id * 10, next * 10}});
    }
    if (shape_.stores.size() > 1) {
      Placement::SetInfo& all = sets.emplace_back();
      all = {30, Tier::kPhysical, shape_.stores};
      for (const NodeId id : shape_.stores) {
        all.incarnations.push_back(id * 10);
      }
    }
    return sets;
  }
  void Start(const std::vector<Placement::SetInfo>& sets) {
    Placement placement;
    for (const auto& [id, node] : nodes_) {
      placement.AddNode(Info(id));
    }
    placement.AddSets(sets);
    placement.Want(Tier::kCompressed, 2);
    placement.Want(Tier::kPhysical, static_cast<uint32_t>(shape_.stores.size()));
    front_end_ =
        std::make_unique<FrontEnd>(FrontEnd::Options{.shard_count = 2,
                                                     .writeback = shape_.writeback,
                                                     .clock = &executor_,
                                                     .compare_every = shape_.compare_every},
                                   coordinator_, logs_, std::move(placement), executor_);
    if (started_ != 0) {
      front_end_->NoteStart(started_, std::chrono::seconds(10));
    }
    front_end_->Join(Membership{.address = "a", .process = ++process_, .machine = "a", .zone = ""},
                     [](const Status&) {});
    Run(std::chrono::seconds(3));
  }
  void Reopen() {
    StatusOr<OpenReply> opened = MakeError(StatusCode::kUnknown, "no answer");
    front_end_->Open({.name = "a", .holder = "h", .create_pages = 1 << 20},
                     [&](StatusOr<OpenReply> reply) { opened = std::move(reply); });
    Run(std::chrono::seconds(1));
    EXPECT_TRUE(opened.ok()) << opened.status();
    client_.emplace(*opened);
  }
  // As kill -9 does, once the lease has ended.
  void Stop() {
    executor_.DropTasks();
    front_end_.reset();
    coordinator_.Commit({{}, {}, {"frontends/frontend-1"}},
                        [](const StatusOr<TransactionReply>&) {});
  }

  Placement::NodeInfo Info(NodeId id) {
    const bool store = std::ranges::find(shape_.stores, id) != shape_.stores.end();
    return {id, store ? Tier::kPhysical : Tier::kCompressed, "n" + std::to_string(id), id * 10,
            &nodes_.at(id)->cut};
  }
  // At most so many pages a second; 0: as many as can be.
  void Drain(NodeId id, uint64_t rate = 0) {
    Placement::NodeInfo info = Info(id);
    info.draining = true;
    info.drain_rate = rate;
    front_end_->placement().AddNode(info);
  }
  CutNode& NodeAt(NodeId id) { return nodes_.at(id)->cut; }
  MemoryNode& MemoryAt(NodeId id) { return nodes_.at(id)->memory; }
  // Changes a byte of all that the node keeps, or of one slot's.
  size_t Damage(NodeId id, std::optional<Offset> offset = std::nullopt) {
    size_t damaged = 0;
    for (const PageName& name : MemoryAt(id).Names()) {
      damaged += (!offset || name.offset == *offset) && MemoryAt(id).FlipByte(name, 5) ? 1 : 0;
    }
    return damaged;
  }
  // All that the node kept is gone.
  void DropAll(NodeId id) {
    for (const PageName& name : MemoryAt(id).Names()) {
      ASSERT_TRUE(MemoryAt(id).Drop(name));
    }
  }
  void Run(Duration time) { executor_.Advance(time); }

  PageCode Store(Offset offset, uint64_t number) {
    std::optional<MutationResult> result;
    const StoreCall call = client_->MakeStore({{offset, PageOf(offset, number)}});
    front_end_->Store(call, [&](const MutationResult& answer) { result = answer; });
    executor_.RunReady();
    client_->Answered(call.header);
    return result && result->status.ok() ? result->codes[0] : PageCode::kUnset;
  }
  // What the page is; its code where it is not there.
  std::variant<PageCode, PageBytes> Load(Offset offset) {
    LoadCall call;
    call.header = client_->Next(offset);
    call.extents = {{offset, 1}};
    std::optional<LoadReply> result;
    front_end_->Load(call, [&](LoadReply reply) { result = std::move(reply); });
    executor_.RunReady();
    client_->Answered(call.header);
    if (!result || !result->status.ok() || result->pages[0].code != PageCode::kOk) {
      return result && result->status.ok() ? result->pages[0].code : PageCode::kUnset;
    }
    return client_->Plain(offset, result->pages[0]).value_or(PageBytes());
  }
  void ExpectPages(Offset count, uint64_t number) {
    for (Offset offset = 0; offset < count; ++offset) {
      const auto page = Load(offset);
      ASSERT_TRUE(std::holds_alternative<PageBytes>(page))
          << "page " << offset << ": code " << static_cast<int>(std::get<PageCode>(page));
      ASSERT_EQ(std::get<PageBytes>(page), PageOf(offset, number));
    }
  }
  void StorePages(Offset count, uint64_t number) {
    for (Offset offset = 0; offset < count; ++offset) {
      ASSERT_EQ(Store(offset, number), PageCode::kOk);
    }
  }
  void Put(const std::string& key, const std::string& value) {
    coordinator_.Commit({{}, {{key, value}}, {}}, [](const StatusOr<TransactionReply>&) {});
  }
  // Of the nodes, and of AllSets.
  void PutRecords() {
    for (NodeId id = 1; id <= shape_.compressors; ++id) {
      v1::NodeRecord node;
      node.set_node(id);
      node.set_name("n" + std::to_string(id));
      node.set_tier(v1::TIER_COMPRESSED);
      node.set_machine("m" + std::to_string(id));
      node.set_incarnation(id * 10);
      Put(NumberedKey("nodes", id), node.SerializeAsString());
    }
    for (const Placement::SetInfo& set : AllSets()) {
      v1::SetRecord record;
      record.set_set(set.set);
      record.set_tier(static_cast<v1::Tier>(set.tier));
      record.mutable_nodes()->Add(set.nodes.begin(), set.nodes.end());
      record.mutable_incarnations()->Add(set.incarnations.begin(), set.incarnations.end());
      Put(NumberedKey("sets", set.set), record.SerializeAsString());
    }
  }
  // How many nodes hold a record of each slot.
  std::map<Offset, int> Copies() {
    std::map<Offset, int> copies;
    for (const auto& [id, node] : nodes_) {
      for (const PageName& name : node->memory.Names()) {
        ++copies[name.offset];
      }
    }
    return copies;
  }
  void ExpectCopies(Offset count, int copies) {
    const std::map<Offset, int> found = Copies();
    EXPECT_EQ(found.size(), count);
    for (const auto& [offset, of_slot] : found) {
      ASSERT_EQ(of_slot, copies) << "slot " << offset;
    }
  }

  const Shape shape_;
  uint64_t process_ = 0;
  NodeId started_ = 0;  // a moment before the front-end; 0: none
  ManualExecutor executor_;
  MemoryCoordinator coordinator_;
  MemoryTableLog log_;
  LocalLogNodes logs_{{&log_}};
  std::map<NodeId, std::unique_ptr<TestNode>> nodes_;
  std::unique_ptr<FrontEnd> front_end_;
  std::optional<FrontEndClient> client_;
};

TEST_F(PageReplicas, APageHasTwoCopiesUntilItGoes) {
  StorePages(100, 1);
  ExpectCopies(100, 2);
  StorePages(100, 2);
  ExpectCopies(100, 2);
  ExpectPages(100, 2);
  Run(std::chrono::seconds(5));
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  EXPECT_EQ(front_end_->counters().moved, 0u);
  EXPECT_EQ(front_end_->counters().stores_degraded, 0u);
}

TEST_F(PageReplicas, EitherCopyWillDo) {
  StorePages(100, 1);
  for (NodeId id = 1; id <= kCompressors; ++id) {
    NodeAt(id).cut = true;
    ExpectPages(100, 1);
    NodeAt(id).cut = false;
  }
  // Missing in one place, damaged in the other.
  DropAll(1);
  for (const PageName& name : MemoryAt(3).Names()) {
    ASSERT_TRUE(MemoryAt(3).FlipByte(name, 5));
  }
  ExpectPages(100, 1);
}

class HedgedLoads : public PageReplicas {
 protected:
  // Begins a load of the page; what it answers comes later.
  std::shared_ptr<std::optional<LoadReply>> Begin(Offset offset) {
    LoadCall call;
    call.header = client_->Next(offset);
    call.extents = {{offset, 1}};
    auto result = std::make_shared<std::optional<LoadReply>>();
    front_end_->Load(call, [result](LoadReply reply) {
      EXPECT_FALSE(result->has_value()) << "answered twice";
      *result = std::move(reply);
    });
    client_->Answered(call.header);
    return result;
  }
  void ExpectPage(const std::optional<LoadReply>& result, Offset offset) {
    ASSERT_TRUE(result.has_value()) << "page " << offset;
    ASSERT_EQ(result->pages[0].code, PageCode::kOk);
    ASSERT_EQ(client_->Plain(offset, result->pages[0]), PageOf(offset, 1));
  }
};

TEST_F(HedgedLoads, WhereANodeIsSilentAnotherCopyIsAskedSoon) {
  StorePages(100, 1);
  ExpectPages(100, 1);
  EXPECT_EQ(front_end_->counters().loads_hedged, 0u);
  NodeAt(2).stopped = true;
  for (Offset offset = 0; offset < 100; ++offset) {
    const auto result = Begin(offset);
    Run(std::chrono::milliseconds(50));
    ExpectPage(*result, offset);
  }
  EXPECT_GT(front_end_->counters().loads_hedged, 0u);
  EXPECT_EQ(front_end_->counters().stores_degraded, 0u);
  NodeAt(2).Continue();  // late answers change nothing
  ExpectPages(100, 1);
}

TEST_F(HedgedLoads, TheFirstAnswerCountsWhicheverItIs) {
  StorePages(100, 1);
  NodeAt(1).stopped = NodeAt(2).stopped = NodeAt(3).stopped = NodeAt(4).stopped = true;
  std::vector<std::shared_ptr<std::optional<LoadReply>>> results;
  for (Offset offset = 0; offset < 100; ++offset) {
    results.push_back(Begin(offset));
  }
  Run(std::chrono::milliseconds(50));
  EXPECT_EQ(front_end_->counters().loads_hedged, 100u);
  // One copy of these fails, the other is only late.
  DropAll(2);
  for (const NodeId id : {2u, 1u, 3u, 4u}) {
    NodeAt(id).Continue();
  }
  executor_.RunReady();
  for (Offset offset = 0; offset < 100; ++offset) {
    ExpectPage(*results[offset], offset);
  }
  EXPECT_EQ(front_end_->counters().loads_data_loss, 0u);
}

TEST_F(PageReplicas, TheLeftoverOfAFailedPutIsNotTheCopyThatWasKept) {
  for (uint64_t round = 1; round <= 20; ++round) {
    const NodeId cut = static_cast<NodeId>(1 + round % kCompressors);
    NodeAt(cut).cut = true;
    // Nobody knows yet: some are offered to it.
    for (const Placement::Member* member : front_end_->placement().Members()) {
      member->answers = true;
    }
    StorePages(50, round);
    NodeAt(cut).cut = false;
    Run(std::chrono::seconds(3));  // what could not be deleted is
    ExpectPages(50, round);
    ExpectCopies(50, 2);
  }
}

TEST_F(PageReplicas, OnADeadNodePagesAreMadeAnewElsewhere) {
  StorePages(1000, 1);
  const size_t had = MemoryAt(2).Names().size();
  NodeAt(2).cut = true;
  Run(std::chrono::seconds(4));
  EXPECT_EQ(front_end_->counters().rebuilt, 0u);  // it may come back
  Run(std::chrono::seconds(4));
  EXPECT_EQ(front_end_->counters().rebuilt, had);
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  // Another one may go now.
  NodeAt(4).cut = true;
  ExpectPages(1000, 1);
  NodeAt(4).cut = false;
  // What it had is deleted when it is back.
  NodeAt(2).cut = false;
  Run(std::chrono::seconds(5));
  ExpectCopies(1000, 2);
  ExpectPages(1000, 1);
}

TEST_F(PageReplicas, OfANodeThatComesBackEmptyPagesAreMadeAnew) {
  StorePages(1000, 1);
  const size_t had = MemoryAt(2).Names().size();
  nodes_.at(2)->memory.SetIncarnation(21);
  DropAll(2);
  ExpectPages(1000, 1);  // before anybody knows
  Placement::NodeInfo info = Info(2);
  info.incarnation = 21;
  front_end_->placement().AddNode(info);
  front_end_->placement().AddSet(41, Tier::kCompressed, {2, 3}, {21, 30});
  ExpectPages(1000, 1);
  Run(std::chrono::seconds(3));
  EXPECT_EQ(front_end_->counters().rebuilt, had);
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  ExpectCopies(1000, 2);
  EXPECT_FALSE(MemoryAt(2).Names().empty());
  for (NodeId id = 1; id <= kCompressors; ++id) {
    NodeAt(id).cut = true;
    ExpectPages(1000, 1);
    NodeAt(id).cut = false;
  }
  EXPECT_EQ(front_end_->counters().pages_marked_lost, 0u);
}

TEST_F(PageReplicas, ANodeThatDrainsIsEmptied) {
  StorePages(1000, 1);
  Drain(2);
  Run(std::chrono::seconds(3));
  EXPECT_TRUE(MemoryAt(2).Names().empty());
  ExpectCopies(1000, 2);
  StorePages(1000, 2);
  EXPECT_TRUE(MemoryAt(2).Names().empty());
  ExpectPages(1000, 2);
}

TEST_F(PageReplicas, WithTooFewNodesPagesAreKeptDegradedAndMendedLater) {
  for (const NodeId id : {2u, 3u, 4u}) {
    NodeAt(id).cut = true;
  }
  StorePages(100, 1);
  EXPECT_EQ(front_end_->counters().stores_degraded, 100u);
  EXPECT_EQ(front_end_->counters().loads_data_loss, 0u);
  ExpectPages(100, 1);
  NodeAt(2).cut = false;
  Run(std::chrono::seconds(8));
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  ExpectCopies(100, 2);
  ExpectPages(100, 1);
}

TEST_F(PageReplicas, WhereMostAreSilentNobodyIsDead) {
  StorePages(100, 1);
  for (const NodeId id : {2u, 3u, 4u}) {
    NodeAt(id).cut = true;
  }
  Run(std::chrono::seconds(30));
  for (const Placement::Member* member : front_end_->placement().Members()) {
    EXPECT_FALSE(member->dead) << member->name;
  }
  EXPECT_EQ(front_end_->counters().rebuilt, 0u);
  for (const NodeId id : {2u, 3u, 4u}) {
    NodeAt(id).cut = false;
  }
  Run(std::chrono::seconds(2));
  ExpectPages(100, 1);
}

TEST_F(PageReplicas, WithBothCopiesGoneAPageIsLostAndNothingElse) {
  StorePages(100, 1);
  for (const NodeId id : {1u, 2u}) {
    nodes_.at(id)->memory.SetIncarnation(id * 10 + 1);
    DropAll(id);
    Placement::NodeInfo info = Info(id);
    info.incarnation = id * 10 + 1;
    front_end_->placement().AddNode(info);
  }
  int lost = 0;
  for (Offset offset = 0; offset < 100; ++offset) {
    const auto page = Load(offset);
    if (std::holds_alternative<PageCode>(page)) {
      ASSERT_EQ(std::get<PageCode>(page), PageCode::kDataLoss);
      ++lost;
    } else {
      ASSERT_EQ(std::get<PageBytes>(page), PageOf(offset, 1));
    }
  }
  EXPECT_EQ(lost, 25);
}

TEST_F(PageReplicas, WhatANodesSilencePutsAtRiskIsToldAtOnce) {
  StorePages(100, 1);
  NodeAt(2).cut = true;
  Run(std::chrono::seconds(1));
  EXPECT_EQ(front_end_->degraded_pages(), 50u);
  NodeAt(2).cut = false;
  Run(std::chrono::seconds(2));
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
}

TEST_F(PageReplicas, ARebuildAsksThoseWhoAnswer) {
  StorePages(1000, 1);
  const size_t had = MemoryAt(2).Names().size();
  NodeAt(2).cut = true;
  Run(std::chrono::seconds(10));
  EXPECT_EQ(front_end_->counters().rebuilt, had);
  EXPECT_EQ(NodeAt(2).gets, 0);
}

TEST_F(PageReplicas, DeathsOneAfterTheOtherAreNoMassExpiry) {
  for (const NodeId id : {2u, 3u, 4u}) {
    NodeAt(id).cut = true;
    Run(std::chrono::seconds(10));
    EXPECT_TRUE(front_end_->placement().Find(id)->dead) << id;
  }
}

// Three compressors that live, with a set of each two, and four that have gone.
class Departed : public PageReplicas {
 protected:
  Departed() : PageReplicas({.compressors = 7}) {
    sets_ = AllSets();
    sets_.push_back({40, Tier::kCompressed, {1, 3}, {10, 30}});
  }
  void Depart() {
    for (NodeId id = 4; id <= 7; ++id) {
      NodeAt(id).cut = true;
    }
  }
  void ExpectADeathIsMended() {
    StorePages(1000, 1);
    NodeAt(2).cut = true;
    Run(std::chrono::seconds(10));
    EXPECT_TRUE(front_end_->placement().Find(2)->dead);
    EXPECT_EQ(front_end_->degraded_pages(), 0u);
    NodeAt(3).cut = true;
    ExpectPages(1000, 1);
  }
  std::vector<Placement::SetInfo> sets_;
};

TEST_F(Departed, NodesThatWereNeverHeardAreNoReasonToBelieveInNoDeath) {
  Depart();
  Stop();
  Start(sets_);
  Reopen();
  Run(std::chrono::seconds(10));
  ExpectADeathIsMended();
}

TEST_F(Departed, NodesThatAreStoppedAfterTheirDrainAreNoMassExpiry) {
  front_end_->placement().AddSets(sets_);
  for (NodeId id = 4; id <= 7; ++id) {
    Drain(id);
  }
  Run(std::chrono::seconds(3));
  Depart();
  Run(std::chrono::seconds(10));
  EXPECT_TRUE(front_end_->placement().Find(5)->dead);
  ExpectADeathIsMended();
}

// A node that died, and whose pages were made anew.
class Forgotten : public PageReplicas {
 protected:
  Forgotten() { PutRecords(); }
  Status Forget(const std::string& name) { return ForgetNode(*front_end_, coordinator_, name); }
  void ExpectRefused(const std::string& name, const std::string& why) {
    const Status status = Forget(name);
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
    EXPECT_EQ(MessageOf(status), "node: " + name + why);
  }
  // As a front-end learns it.
  void Tell(NodeId id, bool left) {
    Placement::NodeInfo info = Info(id);
    info.left = left;
    front_end_->placement().AddNode(info);
  }
};

TEST_F(Forgotten, OnlyANodeThatIsSilentAndThatNothingNames) {
  StorePages(100, 1);
  EXPECT_EQ(Forget("n5").code(), StatusCode::kNotFound);
  ExpectRefused("n1",
                " has replicas of the table logs of shards 0, 1: a drain moves them, also off a "
                "node that is gone");
  ExpectRefused("n2", " answers, or did a moment ago: drain it, and stop it");
  NodeAt(2).cut = true;
  Run(std::chrono::seconds(2));
  ExpectRefused("n2", " is named by 50 pages in the tables: a drain, or rebuild, moves them");
  Run(std::chrono::seconds(8));
  EXPECT_TRUE(Forget("n2").ok());
  EXPECT_TRUE(Forget("n2").ok());
  EXPECT_TRUE(FindNode(coordinator_, "n2")->value().left());
  const auto cluster = ReportCluster(front_end_->placement(), coordinator_);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ(cluster->nodes_size(), 3);
}

TEST_F(Forgotten, ItCountsForNothingAndIsCleanedUpWhenItIsBack) {
  StorePages(100, 1);
  NodeAt(2).cut = true;
  StorePages(100, 2);
  Run(std::chrono::seconds(10));
  ASSERT_TRUE(Forget("n2").ok());
  Tell(2, /*left=*/true);
  Run(std::chrono::seconds(10));
  EXPECT_EQ(front_end_->releases_pending(), 0u);
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  std::optional<CheckReport> report;
  front_end_->Check([&](const StatusOr<CheckReport>& done) { report = *done; });
  Run(std::chrono::seconds(1));
  ASSERT_TRUE(report.has_value());
  EXPECT_TRUE(report->skipped.empty()) << report->skipped.front();
  EXPECT_EQ(report->problems_total, 0u);
  NodeAt(2).cut = false;
  Tell(2, /*left=*/false);
  front_end_->CompareWith(2);
  Run(std::chrono::seconds(5));
  EXPECT_FALSE(front_end_->placement().Find(2)->dead);
  ExpectCopies(100, 2);
  StorePages(100, 3);
  EXPECT_FALSE(MemoryAt(2).Names().empty());
  ExpectPages(100, 3);
}

// It took a page while nobody looked.
TEST_F(Forgotten, WhatItHasAfterAllIsReadAndMadeAnew) {
  StorePages(100, 1);
  Tell(2, /*left=*/true);
  ExpectPages(100, 1);
  Run(std::chrono::seconds(5));
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  NodeAt(2).cut = true;
  NodeAt(3).cut = true;
  ExpectPages(100, 1);
}

TEST_F(PageReplicas, NothingIsMovedAfterTheStop) {
  StorePages(4000, 1);
  NodeAt(2).cut = true;
  while (front_end_->counters().moved == 0) {
    Run(std::chrono::milliseconds(1));
  }
  front_end_->Stop();
  Run(std::chrono::seconds(10));
  EXPECT_LT(front_end_->counters().moved, 1000u);  // of 2000
}

// The two that are left after two deaths were never together.
TEST_F(PageReplicas, SurvivorsFormANewSet) {
  PutRecords();
  StorePages(100, 1);
  for (const NodeId id : {2u, 4u}) {
    NodeAt(id).cut = true;
  }
  Run(std::chrono::seconds(10));
  EXPECT_EQ(front_end_->degraded_pages(), 100u);
  v1::SetRecord made;
  coordinator_.List("sets/", [&](const StatusOr<std::vector<KeyValue>>& sets) {
    EXPECT_TRUE(made.ParseFromString(sets->back().value));
    EXPECT_EQ(sets->size(), AllSets().size() + 1);
  });
  EXPECT_EQ(std::vector<NodeId>(made.nodes().begin(), made.nodes().end()),
            (std::vector<NodeId>{1, 3}));
  front_end_->placement().AddSet(static_cast<SetId>(made.set()), Tier::kCompressed, {1, 3},
                                 {made.incarnations().begin(), made.incarnations().end()});
  Run(std::chrono::seconds(5));
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  ExpectPages(100, 1);
}

TEST_F(PageReplicas, WhatASilentNodeIsToDeleteWaits) {
  StorePages(1000, 1);
  NodeAt(2).cut = true;
  StorePages(1000, 2);
  Run(std::chrono::seconds(4));
  EXPECT_LT(NodeAt(2).deletes, 20);
  EXPECT_GT(front_end_->releases_pending(), 100u);
  EXPECT_TRUE(front_end_->Idle());
  NodeAt(2).cut = false;
  Run(std::chrono::seconds(4));
  EXPECT_EQ(front_end_->releases_pending(), 0u);
  ExpectCopies(1000, 2);
  ExpectPages(1000, 2);
}

TEST_F(PageReplicas, WhatAnotherIncarnationSaysIsDeletedIsDeletedAgain) {
  StorePages(100, 1);
  NodeAt(2).strange = true;
  StorePages(100, 2);
  Run(std::chrono::seconds(4));
  EXPECT_GT(front_end_->releases_pending(), 0u);
  EXPECT_TRUE(front_end_->Idle());
  NodeAt(2).strange = false;
  Run(std::chrono::seconds(4));
  EXPECT_EQ(front_end_->releases_pending(), 0u);
  ExpectCopies(100, 2);
  ExpectPages(100, 2);
}

TEST_F(PageReplicas, AnOwnerThatHasNotHeardOfASetTakesItsPagesForNoOrphans) {
  StorePages(100, 1);
  std::vector<Placement::SetInfo> known = AllSets();
  std::erase_if(known, [](const Placement::SetInfo& set) { return set.set > 20; });
  Stop();
  Start(known);
  EXPECT_TRUE(front_end_->reconciled());
  EXPECT_EQ(front_end_->counters().orphans_deleted, 0u);
  front_end_->placement().AddSets(AllSets());
  Reopen();
  ExpectPages(100, 1);
  ExpectCopies(100, 2);
}

TEST_F(PageReplicas, ANodeThatWasAwayAtATakeoverIsComparedLater) {
  StorePages(100, 1);
  NodeAt(2).cut = true;
  Reopen();
  StorePages(100, 2);  // the old ones cannot be deleted there
  Stop();
  Start(AllSets());
  EXPECT_FALSE(MemoryAt(2).Names().empty());
  NodeAt(2).cut = false;
  Run(std::chrono::seconds(4));
  EXPECT_TRUE(front_end_->reconciled());
  EXPECT_EQ(front_end_->counters().orphans_deleted, 50u);
  Reopen();
  ExpectPages(100, 2);
  ExpectCopies(100, 2);
}

// One copy of some pages is gone, one of others damaged.
TEST_F(PageReplicas, ACopyThatALoadFindsMissingIsMadeAnew) {
  StorePages(100, 1);
  DropAll(1);
  for (const PageName& name : MemoryAt(3).Names()) {
    ASSERT_TRUE(MemoryAt(3).FlipByte(name, 5));
  }
  for (int i = 0; i < 10; ++i) {  // each asks one copy, and the other where that one has it not
    for (NodeId id = 1; id <= kCompressors; ++id) {
      front_end_->placement().Find(id)->answers = id % 2 == 1;  // rather those with the damage
    }
    ExpectPages(100, 1);
  }
  EXPECT_GT(front_end_->degraded_pages(), 0u);
  Run(std::chrono::seconds(3));
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  EXPECT_EQ(front_end_->counters().repaired, 100u);
  ExpectCopies(100, 2);
  NodeAt(2).cut = NodeAt(4).cut = true;
  ExpectPages(100, 1);
}

// Nobody loads them: the node is compared since it was started again.
TEST_F(PageReplicas, WhatANodeLostOverItsRestartIsMadeAnew) {
  StorePages(100, 1);
  StorePages(50, 2);
  DropAll(2);
  front_end_->CompareWith(2);
  EXPECT_FALSE(front_end_->reconciled());
  Run(std::chrono::seconds(5));
  EXPECT_TRUE(front_end_->reconciled());
  EXPECT_EQ(front_end_->counters().repaired, 50u);
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  ExpectCopies(100, 2);
  NodeAt(1).cut = NodeAt(3).cut = true;
  ExpectPages(50, 2);
}

// Stores that it has answered for are not in the tables yet when it is compared.
TEST_F(PageReplicas, WhatANodeLostOfStoresThatWaitForTheLogIsMadeAnew) {
  StorePages(100, 1);
  log_.faults().FailBeforeEffect(1 << 20);
  int stored = 0;
  for (Offset offset = 100; offset < 140; ++offset) {
    front_end_->Store(client_->MakeStore({{offset, PageOf(offset, 1)}}),
                      [&stored](const MutationResult& answer) {
                        stored += answer.status.ok() && answer.codes[0] == PageCode::kOk;
                      });
  }
  Run(std::chrono::seconds(1));
  ASSERT_EQ(stored, 0);
  ASSERT_EQ(Copies().size(), 140u);
  DropAll(2);
  front_end_->CompareWith(2);
  Run(std::chrono::seconds(10));
  EXPECT_EQ(front_end_->comparisons_due(), 0u);
  log_.faults().Clear();
  for (int i = 0; i < 1000 && front_end_->degraded_pages() > 0; ++i) {
    Run(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(stored, 40);
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  ExpectCopies(140, 2);
}

// The same of pages that are being moved.
TEST_F(PageReplicas, WhatANodeLostOfMovesThatWaitForTheLogIsMadeAnew) {
  StorePages(100, 1);
  log_.faults().FailBeforeEffect(1 << 20);
  Drain(1);
  Run(std::chrono::seconds(3));
  const auto moved = std::ranges::count_if(MemoryAt(3).Names(), [](const PageName& name) {
    return name.version > 100;  // of the stores
  });
  ASSERT_GT(moved, 0);
  DropAll(3);
  front_end_->CompareWith(3);
  Run(std::chrono::seconds(10));
  log_.faults().Clear();
  Run(std::chrono::seconds(1));
  for (int i = 0; i < 3000 && front_end_->degraded_pages() > 0; ++i) {
    Run(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  ExpectCopies(100, 2);
  NodeAt(1).cut = NodeAt(2).cut = true;
  ExpectPages(100, 1);
}

TEST_F(PageReplicas, WhatWasDamagedOverANodesRestartIsMadeAnew) {
  StorePages(100, 1);
  const size_t damaged = Damage(3);
  ASSERT_GT(damaged, 0u);
  front_end_->CompareWith(3);
  // At no moment does it look as if all had two copies while they have not.
  for (int i = 0; i < 1000 && front_end_->comparisons_due() + front_end_->degraded_pages() > 0;
       ++i) {
    Run(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(front_end_->comparisons_due(), 0u);
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  EXPECT_EQ(front_end_->counters().repaired, damaged);
  NodeAt(2).cut = NodeAt(4).cut = true;
  ExpectPages(100, 1);
}

TEST_F(PageReplicas, WhatWasDamagedOverANodesRestartIsFoundByALaterOwner) {
  StorePages(100, 1);
  const size_t damaged = Damage(3);
  Stop();
  started_ = 3;
  Start(AllSets());
  Run(std::chrono::seconds(5));
  EXPECT_EQ(front_end_->comparisons_due(), 0u);
  EXPECT_EQ(front_end_->counters().repaired, damaged);
  NodeAt(2).cut = NodeAt(4).cut = true;
  Reopen();
  ExpectPages(100, 1);
}

TEST_F(PageReplicas, ARepairWaitsForASilentNodeThatMayHaveASoundCopy) {
  StorePages(100, 1);
  const size_t damaged = Damage(1);
  ASSERT_GT(damaged, 0u);
  NodeAt(2).cut = NodeAt(3).cut = NodeAt(4).cut = true;
  front_end_->CompareWith(1);
  Run(std::chrono::seconds(200));
  EXPECT_EQ(front_end_->repairs().given_up(), 0u);
  NodeAt(2).cut = NodeAt(3).cut = NodeAt(4).cut = false;
  Run(std::chrono::seconds(60));
  EXPECT_EQ(front_end_->counters().repaired, damaged);
  NodeAt(2).cut = NodeAt(4).cut = true;
  ExpectPages(100, 1);
}

TEST_F(PageReplicas, WhatWasPutBehindAListingIsNotMissing) {
  StorePages(100, 1);
  NodeAt(2).passed_by = true;
  front_end_->CompareWith(2);
  Run(std::chrono::seconds(5));
  EXPECT_TRUE(front_end_->reconciled());
  EXPECT_EQ(front_end_->counters().copies_missing, 0u);
  EXPECT_EQ(front_end_->counters().moved, 0u);
}

// A takeover compares each node by itself.
TEST_F(PageReplicas, WhatOneNodeLostIsFoundAtATakeover) {
  StorePages(100, 1);
  const size_t had = MemoryAt(3).Names().size();
  DropAll(3);
  Stop();
  Start(AllSets());
  Run(std::chrono::seconds(5));
  EXPECT_EQ(front_end_->counters().repaired, had);
  ExpectCopies(100, 2);
}

TEST_F(PageReplicas, APageWithoutASoundCopyIsGivenUpAndSaidToBeLost) {
  StorePages(10, 1);
  for (const auto& [id, node] : nodes_) {
    DropAll(id);
  }
  front_end_->CompareWith(1);
  Run(std::chrono::seconds(120));
  EXPECT_EQ(front_end_->repairs().waiting(), 0u);
  EXPECT_GT(front_end_->counters().pages_marked_lost, 0u);
  EXPECT_EQ(std::get<PageCode>(Load(0)), PageCode::kDataLoss);
}

class ComparedNowAndThen : public PageReplicas {
 protected:
  static constexpr Duration kEvery = std::chrono::seconds(20);
  ComparedNowAndThen() : PageReplicas({.compare_every = kEvery}) {}
};

TEST_F(ComparedNowAndThen, NothingIsFoundWhereNothingHasHappened) {
  StorePages(100, 1);
  Run(3 * kEvery);
  EXPECT_GE(front_end_->counters().comparisons, 3 * (kCompressors + 1));
  EXPECT_EQ(front_end_->counters().copies_missing, 0u);
  EXPECT_EQ(front_end_->counters().orphans_deleted, 0u);
  EXPECT_EQ(front_end_->counters().moved, 0u);
}

TEST_F(ComparedNowAndThen, ADamagedCopyThatNobodyLoadsIsMadeAnew) {
  StorePages(100, 1);
  const size_t damaged = Damage(3);
  ASSERT_GT(damaged, 0u);
  Run(kEvery + std::chrono::seconds(5));
  EXPECT_EQ(front_end_->counters().repaired, damaged);
  EXPECT_EQ(front_end_->counters().pages_marked_lost, 0u);
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  ExpectCopies(100, 2);
  for (const NodeId cut : {2u, 4u}) {  // each page is on one of these and one of the others
    NodeAt(cut).cut = true;
  }
  ExpectPages(100, 1);
}

TEST_F(ComparedNowAndThen, APageWhoseCopiesAreAllDamagedIsSaidToBeLostAndTheOthersAreNot) {
  StorePages(100, 1);
  size_t damaged = 0;
  for (NodeId id = 1; id <= kCompressors; ++id) {
    damaged += Damage(id, 7);
  }
  ASSERT_EQ(damaged, 2u);
  Run(kEvery + std::chrono::seconds(5));
  EXPECT_EQ(front_end_->counters().pages_marked_lost, 1u);
  EXPECT_EQ(std::get<PageCode>(Load(7)), PageCode::kDataLoss);
  ExpectPages(7, 1);
  ASSERT_EQ(Store(7, 2), PageCode::kOk);
  EXPECT_EQ(std::get<PageBytes>(Load(7)), PageOf(7, 2));
  ExpectCopies(100, 2);  // the damaged records went with the lost page
}

// As a put that was late leaves it, and damaged since.
TEST_F(ComparedNowAndThen, ADamagedRecordThatNoEntryNamesIsDeleted) {
  StorePages(100, 1);
  const PageName name = MemoryAt(1).Names().front();
  StorePages(100, 2);
  NodeCalls(MemoryAt(1)).PutRaw(name);
  ASSERT_TRUE(MemoryAt(1).FlipByte(name, 5));
  Run(kEvery + std::chrono::seconds(5));
  EXPECT_EQ(front_end_->counters().orphans_deleted, 1u);
  ExpectCopies(100, 2);
  ExpectPages(100, 2);
}

TEST_F(ComparedNowAndThen, ANodeThatWasAwayIsComparedOnceItAnswers) {
  StorePages(100, 1);
  NodeAt(3).cut = true;
  Run(2 * kEvery);  // its pages are copied elsewhere
  EXPECT_TRUE(front_end_->reconciled());
  ExpectPages(100, 1);
  NodeAt(3).cut = false;
  Run(kEvery + std::chrono::seconds(5));
  EXPECT_EQ(front_end_->releases_pending(), 0u);
  ExpectCopies(100, 2);
}

// It answers otherwise, so that its comparison is tried all the time.
TEST_F(ComparedNowAndThen, ANodeThatCannotBeListedDoesNotKeepTheOthersFromTheirTurn) {
  StorePages(100, 1);
  NodeAt(2).unlisted = true;
  front_end_->CompareWith(2);
  Run(std::chrono::seconds(5));
  const size_t damaged = Damage(3);
  Run(kEvery + std::chrono::seconds(10));
  EXPECT_EQ(front_end_->counters().repaired, damaged);
  EXPECT_GT(front_end_->comparisons_due() + front_end_->degraded_pages(), 0u);
  NodeAt(2).unlisted = false;
  Run(std::chrono::seconds(10));
  EXPECT_TRUE(front_end_->reconciled());
  ExpectCopies(100, 2);
}

class FiveCompressors : public PageReplicas {
 protected:
  FiveCompressors() : PageReplicas({.compressors = 5}) {}
};

TEST_F(FiveCompressors, ADrainKeepsToItsRateAndGivesWayToARebuild) {
  StorePages(5000, 1);
  Drain(2, 100);
  EXPECT_EQ(front_end_->WaitsFor(), "");
  Run(std::chrono::seconds(5));
  EXPECT_GT(front_end_->counters().rebuilt, 0u);
  EXPECT_LE(front_end_->counters().rebuilt, 100u * 5 + 512);  // batches
  NodeAt(4).cut = true;  // of what it had there is one copy left
  Run(std::chrono::seconds(12));
  EXPECT_GT(front_end_->counters().rebuilt, 2000u);
  EXPECT_FALSE(MemoryAt(2).Names().empty());
  NodeAt(4).cut = false;
  Run(std::chrono::seconds(30));
  EXPECT_TRUE(MemoryAt(2).Names().empty());
  EXPECT_EQ(front_end_->degraded_pages(), 0u);
  ExpectPages(5000, 1);
}

TEST_F(PageReplicas, WhereNodesAreSlowPagesMoveSlowly) {
  StorePages(5000, 1);
  for (NodeId id = 1; id <= kCompressors; ++id) {
    NodeAt(id).slow = &executor_;
  }
  Drain(2);
  Run(std::chrono::seconds(3));
  // A batch of 32 takes 50 ms, and three times that is nothing moved.
  EXPECT_GT(front_end_->counters().rebuilt, 250u);
  EXPECT_LE(front_end_->counters().rebuilt, 3 * 1000 / 200 * 32u);
  EXPECT_FALSE(MemoryAt(2).Names().empty());
}

TEST_F(PageReplicas, WithTooFewNodesADrainSaysWhatItWaitsFor) {
  StorePages(100, 1);
  for (const NodeId id : {2u, 3u, 4u}) {
    Drain(id);
  }
  Run(std::chrono::seconds(5));
  EXPECT_NE(front_end_->WaitsFor().find("nodes: there are too few"), std::string::npos);
  ExpectCopies(100, 2);  // what is there stays
  ExpectPages(100, 1);
}

class TwoFullCompressors : public PageReplicas {
 protected:
  TwoFullCompressors() : PageReplicas({.compressors = 2, .room = {{1, 10}, {2, 10}}}) {}
};

TEST_F(TwoFullCompressors, ARepairWithoutRoomWaitsAndIsNotGivenUp) {
  StorePages(10, 1);
  const std::vector<PageName> names = MemoryAt(2).Names();
  ASSERT_EQ(names.size(), 10u);
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(MemoryAt(2).Drop(names[i]));
  }
  front_end_->CompareWith(2);
  Run(std::chrono::seconds(200));
  EXPECT_EQ(front_end_->repairs().waiting(), 3u);
  EXPECT_EQ(front_end_->repairs().given_up(), 0u);
  EXPECT_EQ(front_end_->degraded_pages(), 3u);
  EXPECT_NE(front_end_->WaitsFor().find("room"), std::string::npos);
  ExpectPages(10, 1);
}

class TwoUnequalCompressors : public PageReplicas {
 protected:
  TwoUnequalCompressors() : PageReplicas({.compressors = 2, .room = {{1, 10}}}) {}
};

TEST_F(TwoUnequalCompressors, AFullNodeIsNoReasonToKeepFewerCopies) {
  StorePages(100, 1);
  EXPECT_EQ(front_end_->counters().stores_degraded, 0u);
  EXPECT_EQ(front_end_->counters().stored_compressed, 10u);
  Run(std::chrono::seconds(1));
  EXPECT_EQ(front_end_->releases_pending(), 0u);
  EXPECT_EQ(MemoryAt(2).Names().size(), 10u);
  ExpectPages(100, 1);
}

// Every survivor of a set is full.
class AFullCompressor : public PageReplicas {
 protected:
  AFullCompressor() : PageReplicas({.compressors = 3, .room = {{1, 100}}}) {}
};

TEST_F(AFullCompressor, TakesASecondCopyInPlaceOfItsOwn) {
  StorePages(400, 1);
  EXPECT_EQ(MemoryAt(1).Names().size(), 100u);
  const uint64_t with_2 = front_end_->counters().stored_compressed - MemoryAt(3).Names().size();
  NodeAt(2).cut = true;
  Run(std::chrono::seconds(10));
  EXPECT_GT(with_2, 0u);
  EXPECT_EQ(front_end_->counters().rebuilt, with_2);
  EXPECT_EQ(MemoryAt(1).Names().size(), 100u);
  ExpectPages(400, 1);
  // The rest has no room, and is not tried without end.
  const uint64_t gets = NodeAt(3).gets;
  Run(std::chrono::seconds(60));
  EXPECT_LT(NodeAt(3).gets, gets + 20);
}

class TwoStores : public PageReplicas {
 protected:
  TwoStores()
      : PageReplicas({.compressors = 2,
                      .room = {{1, 100}, {2, 100}},
                      .stores = {8, 9},
                      .writeback = Writeback::Options{.start = 0.5, .end = 0.25}}) {}
};

TEST_F(TwoStores, WritebackWaitsWhereItWouldCostACopy) {
  NodeAt(9).cut = true;
  Run(std::chrono::seconds(1));
  StorePages(80, 1);
  Run(std::chrono::seconds(20));
  EXPECT_EQ(front_end_->counters().written_back, 0u);
  ExpectCopies(80, 2);
  NodeAt(9).cut = false;
  Run(std::chrono::seconds(5));
  EXPECT_GT(front_end_->counters().written_back, 0u);
  ExpectCopies(80, 2);
  ExpectPages(80, 1);
}

}  // namespace
}  // namespace vswap
