#include "services/frontend/reconcile.h"

#include "tests/support/front_end_setup.h"
#include "tests/support/node_calls.h"

namespace vswap {
namespace {

TEST(Reconcile, OrphansAreDeletedAndNothingElse) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Noise(2)}, {3, Shrinking(3)}});
  // What a crash between publish and release leaves: the deletes are never done.
  setup.held_compressed.Hold(HeldNode::kDelete);
  setup.held_physical.Hold(HeldNode::kDelete);
  setup.Store(client, {{1, Shrinking(1, 2)}, {2, Noise(2, 2)}});
  setup.Free(client, {3, 1});
  EXPECT_EQ(setup.compressed.Names().size() + setup.physical.Names().size(), 5u);
  setup.Restart();
  setup.Settle();
  EXPECT_TRUE(setup.front_end().reconciled());
  EXPECT_EQ(setup.front_end().counters().orphans_deleted, 3u);
  client = setup.Open();
  EXPECT_EQ(setup.compressed.Names(), std::vector<PageName>{setup.NameAt(client, 1)});
  EXPECT_EQ(setup.physical.Names(), std::vector<PageName>{setup.NameAt(client, 2)});
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1, 2));
  EXPECT_EQ(setup.LoadOne(client, 2), Noise(2, 2));
  EXPECT_EQ(setup.LoadOne(client, 3), ZeroPage());
}

TEST(Reconcile, APutThatWasNeverLoggedIsAnOrphan) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.log.faults().FailBeforeEffect(1 << 20);
  setup.BeginStore(client.MakeStore({{1, Shrinking(1)}}));
  EXPECT_EQ(setup.compressed.Names().size(), 1u);
  setup.Drop();
  setup.log.faults().Clear();
  setup.Start();
  setup.Settle();
  EXPECT_TRUE(setup.compressed.Names().empty());
}

// A put of unknown effect at one tier went to the other under the same version, and then the
// process died.
TEST(Reconcile, ALeftoverUnderANameThatIsGoodElsewhereIsAnOrphan) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.compressed.faults().put.FailAfterEffect(1);
  setup.held_compressed.Hold(HeldNode::kDelete);
  ASSERT_EQ(setup.StoreOne(client, 1, Shrinking(1)), PageCode::kOk);
  EXPECT_EQ(setup.compressed.Names(), setup.physical.Names());
  setup.Restart();
  setup.Settle();
  EXPECT_TRUE(setup.compressed.Names().empty());
  client = setup.Open();
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1));
}

TEST(Reconcile, AMissingRecordIsMarkedLostBeforeAnybodyAsks) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  std::vector<Offset> dropped;
  for (Offset offset = 0; offset < 400; ++offset) {
    setup.StoreOne(client, offset * 300, Shrinking(offset));
    if (offset % 4 == 0) {
      setup.compressed.Drop(setup.NameAt(client, offset * 300));
    }
  }
  setup.Restart();
  setup.Settle();
  EXPECT_TRUE(setup.front_end().reconciled());
  EXPECT_EQ(setup.front_end().counters().pages_marked_lost, 100u);
  EXPECT_EQ(setup.front_end().Counts().begin()->second.lost_pages, 100u);
  client = setup.Open();
  EXPECT_EQ(setup.CodeOf(client, 0), PageCode::kDataLoss);
  EXPECT_EQ(setup.LoadOne(client, 300), Shrinking(1));
}

TEST(Reconcile, NothingIsJudgedOfANodeThatCannotBeListed) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Noise(2)}, {3, Shrinking(3)}});
  const PageName name = setup.NameAt(client, 1);
  setup.compressed.Drop(name);
  const PageName orphan{client.space(), 77, 1};
  ASSERT_EQ(NodeCalls(setup.compressed).PutRaw(orphan), PageCode::kOk);
  setup.compressed.faults().inventory.FailBeforeEffect(1);
  setup.Restart();
  setup.Settle();
  EXPECT_TRUE(setup.front_end().reconciled());
  client = setup.Open();
  EXPECT_EQ(setup.EntryAt(client, 1).word.kind(), Backing::kCompressed);
  EXPECT_EQ(setup.compressed.Names().size(), 2u);
  // Nor of another incarnation than the registered one.
  setup.compressed.SetIncarnation(99);
  setup.Restart();
  setup.Settle();
  client = setup.Open();
  EXPECT_EQ(setup.EntryAt(client, 1).word.kind(), Backing::kCompressed);
  EXPECT_EQ(setup.compressed.Names().size(), 2u);
  setup.compressed.SetIncarnation(11);
  setup.Restart();
  setup.Settle();
  client = setup.Open();
  EXPECT_EQ(setup.EntryAt(client, 1).word.kind(), Backing::kLost);
  EXPECT_EQ(setup.compressed.Names(), std::vector<PageName>{setup.NameAt(client, 3)});
}

TEST(Reconcile, NothingIsDeletedByAnOwnerThatWasReplaced) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.StoreOne(client, 1, Shrinking(1));
  const PageName orphan{client.space(), 77, 1};
  ASSERT_EQ(NodeCalls(setup.compressed).PutRaw(orphan), PageCode::kOk);
  setup.Drop();
  setup.held_compressed.Hold(HeldNode::kInventory);
  setup.Start();
  FrontEnd other({}, setup.coordinator, {&setup.log}, Placement(), setup.executor);
  other.Start([](const Status& status) { EXPECT_TRUE(status.ok()) << status; });
  setup.executor.RunReady();
  setup.held_compressed.LetGo();
  setup.executor.RunReady();
  EXPECT_TRUE(setup.front_end().reconciled());
  EXPECT_EQ(setup.compressed.Names().size(), 2u);
  EXPECT_EQ(setup.front_end().counters().orphans_deleted, 0u);
}

// --- Records of the owner's own epoch, found by a comparison while it goes on.

constexpr NodeId kCompressor = 1;
constexpr NodeId kStore = 2;

uint64_t CompareWith(FrontEndSetup& setup, NodeId node) {
  const uint64_t before = setup.front_end().counters().orphans_deleted;
  setup.front_end().placement().Find(node)->answers = true;  // it was heard of again
  setup.front_end().CompareWith(node);
  setup.executor.Advance(std::chrono::seconds(2));
  EXPECT_TRUE(setup.front_end().reconciled());
  return setup.front_end().counters().orphans_deleted - before;
}

TEST(Reconcile, ALatePutOfAStoreThatWasGivenUpIsAnOrphan) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.StoreOne(client, 2, Shrinking(2));
  setup.faults.Watch();
  setup.faults.Inject(0, Fault::kFailThenEffect);  // the compressor's
  setup.faults.Inject(1, Fault::kFailBefore);      // the store's
  EXPECT_EQ(setup.StoreOne(client, 1, Shrinking(1)), PageCode::kUnavailable);
  setup.Settle();
  EXPECT_EQ(setup.compressed.Names().size(), 1u);
  setup.faults.LetGo();  // after its delete
  EXPECT_EQ(setup.compressed.Names().size(), 2u);
  EXPECT_EQ(CompareWith(setup, kCompressor), 1u);
  EXPECT_EQ(setup.compressed.Names(), std::vector<PageName>{setup.NameAt(client, 2)});
  EXPECT_EQ(setup.LoadOne(client, 1), ZeroPage());
}

TEST(Reconcile, ALatePutUnderANameThatIsGoodElsewhereIsAnOrphanThere) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.faults.Watch();
  setup.faults.Inject(0, Fault::kFailThenEffect);
  EXPECT_EQ(setup.StoreOne(client, 1, Shrinking(1)), PageCode::kOk);
  setup.Settle();
  setup.faults.LetGo();
  EXPECT_EQ(setup.compressed.Names(), setup.physical.Names());
  EXPECT_EQ(CompareWith(setup, kStore), 0u);
  EXPECT_EQ(CompareWith(setup, kCompressor), 1u);
  EXPECT_TRUE(setup.compressed.Names().empty());
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1));
}

TEST(Reconcile, WhatAStoreHasPutIsNoOrphanBeforeItIsLogged) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.faults.Watch();
  setup.faults.Inject(0, Fault::kHoldAfter);
  const auto stored = setup.BeginStore(client.MakeStore({{1, Shrinking(1)}}));
  EXPECT_EQ(setup.compressed.Names().size(), 1u);
  EXPECT_EQ(CompareWith(setup, kCompressor), 0u);
  setup.faults.LetGo();
  setup.executor.RunReady();
  ASSERT_TRUE(stored->has_value());
  EXPECT_EQ((*stored)->codes, std::vector<PageCode>{PageCode::kOk});
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1));
}

// Pages 1 and 2 on their way to the store, whose put meets the fault. Whether the move has ended.
std::shared_ptr<bool> MoveTwo(FrontEndSetup& setup, FrontEndClient& client, Fault fault) {
  setup.Store(client, {{1, Shrinking(1)}, {2, Shrinking(2)}});
  setup.faults.Watch();
  setup.faults.Inject(1, fault);  // after the get: the put
  const auto moved = std::make_shared<bool>(false);
  setup.front_end().MoveAll(Tier::kCompressed, Tier::kPhysical,
                            [moved](uint64_t) { *moved = true; });
  return moved;
}

TEST(Reconcile, WhatIsBeingMovedIsNoOrphan) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  const auto moved = MoveTwo(setup, client, Fault::kHoldAfter);
  setup.executor.RunReady();
  EXPECT_EQ(setup.physical.Names().size(), 2u);
  EXPECT_EQ(CompareWith(setup, kStore), 0u);
  setup.faults.LetGo();
  setup.executor.RunReady();
  ASSERT_TRUE(*moved);
  EXPECT_TRUE(setup.compressed.Names().empty());
  EXPECT_EQ(CompareWith(setup, kStore), 0u);
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1));
  EXPECT_EQ(setup.LoadOne(client, 2), Shrinking(2));
}

TEST(Reconcile, ALatePutOfAMoveThatHasFailedIsAnOrphan) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  const auto moved = MoveTwo(setup, client, Fault::kFailThenEffect);
  setup.executor.Advance(std::chrono::seconds(1));
  ASSERT_TRUE(*moved);
  setup.faults.LetGo();
  EXPECT_EQ(setup.physical.Names().size(), 2u);
  EXPECT_EQ(CompareWith(setup, kStore), 2u);
  EXPECT_TRUE(setup.physical.Names().empty());
  EXPECT_EQ(setup.compressed.Names().size(), 2u);
}

TEST(Reconcile, ARecordOfAVersionThatWasNotIssuedIsLeftAlone) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  const Version next = setup.front_end().shards()[client.ShardAt(77)]->next_version();
  const PageName later{client.space(), 77, next};
  ASSERT_EQ(NodeCalls(setup.compressed).PutRaw(later), PageCode::kOk);
  EXPECT_EQ(CompareWith(setup, kCompressor), 0u);
  EXPECT_EQ(setup.compressed.Names(), std::vector<PageName>{later});
}

// Its delete was under way when it was listed.
TEST(Reconcile, WhatIsBeingDeletedIsNotCountedAsAnOrphan) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.StoreOne(client, 1, Shrinking(1));
  setup.held_compressed.Hold(HeldNode::kDelete | HeldNode::kGet);
  setup.Free(client, {1, 1});
  EXPECT_EQ(setup.compressed.Names().size(), 1u);
  setup.front_end().CompareWith(kCompressor);
  setup.executor.Advance(std::chrono::seconds(2));
  EXPECT_EQ(setup.held_compressed.held(), 2u);
  setup.held_compressed.LetGo();
  setup.executor.RunReady();
  EXPECT_TRUE(setup.compressed.Names().empty());
  EXPECT_EQ(setup.front_end().counters().orphans_deleted, 0u);
}

// --- Now and then, though nothing has happened.

constexpr Duration kEvery = std::chrono::seconds(20);

TEST(Reconcile, ADamagedPageIsSaidToBeLostBeforeAnybodyAsks) {
  FrontEndSetup setup({.compare_every = kEvery});
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Noise(2)}, {3, Shrinking(3)}, {4, Noise(4)}});
  ASSERT_TRUE(setup.compressed.FlipByte(setup.NameAt(client, 1), 5));
  ASSERT_TRUE(setup.physical.FlipByte(setup.NameAt(client, 2), 5));
  setup.executor.Advance(kEvery + std::chrono::seconds(2));
  EXPECT_EQ(setup.EntryAt(client, 1).word.kind(), Backing::kLost);
  EXPECT_EQ(setup.EntryAt(client, 2).word.kind(), Backing::kLost);
  EXPECT_EQ(setup.front_end().counters().pages_marked_lost, 2u);
  EXPECT_EQ(setup.CodeOf(client, 1), PageCode::kDataLoss);
  EXPECT_EQ(setup.CodeOf(client, 2), PageCode::kDataLoss);
  EXPECT_EQ(setup.LoadOne(client, 3), Shrinking(3));
  EXPECT_EQ(setup.LoadOne(client, 4), Noise(4));
}

TEST(Reconcile, WithoutATimeItIsNotComparedAgain) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.StoreOne(client, 1, Shrinking(1));
  ASSERT_TRUE(setup.compressed.FlipByte(setup.NameAt(client, 1), 5));
  setup.executor.Advance(std::chrono::hours(24));
  EXPECT_EQ(setup.front_end().counters().comparisons, 2u);
  EXPECT_EQ(setup.EntryAt(client, 1).word.kind(), Backing::kCompressed);
}

TEST(Reconcile, OneComparisonOfANodeAtATimeAndACheckBesideIt) {
  FrontEndSetup setup({.compare_every = kEvery});
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Noise(2)}});
  setup.executor.RunReady();
  setup.held_compressed.Hold(HeldNode::kInventory);
  setup.executor.Advance(5 * kEvery);
  EXPECT_EQ(setup.held_compressed.held(), 1u);
  EXPECT_TRUE(setup.front_end().reconciled());
  std::optional<StatusOr<CheckReport>> report;
  setup.front_end().Check([&](StatusOr<CheckReport> found) { report = std::move(found); });
  setup.executor.RunReady();
  EXPECT_EQ(setup.held_compressed.held(), 2u);
  setup.held_compressed.LetGo();
  setup.executor.Advance(std::chrono::seconds(1));
  ASSERT_TRUE(report.has_value() && report->ok());
  EXPECT_EQ((*report)->problems, std::vector<std::string>());
  EXPECT_EQ((*report)->records, 2u);
  setup.executor.Advance(2 * kEvery);
  EXPECT_GE(setup.front_end().counters().comparisons, 6u);
  EXPECT_EQ(setup.front_end().counters().copies_missing, 0u);
}

// Shorter than what two comparisons take, and in step with them.
TEST(Reconcile, EachNodeHasItsTurnHoweverShortTheTime) {
  FrontEndSetup setup({.compare_every = std::chrono::milliseconds(500)});
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Noise(2)}});
  ASSERT_TRUE(setup.compressed.FlipByte(setup.NameAt(client, 1), 5));
  ASSERT_TRUE(setup.physical.FlipByte(setup.NameAt(client, 2), 5));
  setup.executor.Advance(std::chrono::seconds(10));
  EXPECT_EQ(setup.front_end().counters().pages_marked_lost, 2u);
}

TEST(Reconcile, OnlyRecordsThatThisFrontEndNamesAreVerified) {
  FrontEndSetup setup({.compare_every = kEvery});
  FrontEndClient client = setup.Open();
  for (Offset stripe = 0; stripe < 16; ++stripe) {
    setup.StoreOne(client, stripe * kStripePages, Shrinking(stripe));
  }
  ASSERT_EQ(NodeCalls(setup.compressed).PutRaw({client.space(), 5 * kStripePages + 7, 1}),
            PageCode::kOk);
  // Another front-end takes a shard.
  const ShardId lost = client.ShardAt(0);
  uint64_t kept = 0;
  for (Offset stripe = 0; stripe < 16; ++stripe) {
    kept += client.ShardAt(stripe * kStripePages) != lost;
  }
  ASSERT_GT(kept, 0u);
  ASSERT_LT(kept, 16u);
  setup.log.Seal(lost, 1000, [](const StatusOr<LogEnd>& end) { EXPECT_TRUE(end.ok()); });
  setup.BeginStore(client.MakeStore({{0, Shrinking(99)}}));
  ASSERT_EQ(setup.front_end().shards().size(), 1u);
  const uint64_t before = setup.compressed.verified();
  setup.executor.Advance(kEvery + std::chrono::seconds(2));
  EXPECT_EQ(setup.compressed.verified() - before, kept);
}

TEST(Reconcile, NothingIsJudgedOfANodeThatCannotVerify) {
  FrontEndSetup setup({.compare_every = kEvery});
  FrontEndClient client = setup.Open();
  setup.StoreOne(client, 1, Shrinking(1));
  ASSERT_TRUE(setup.compressed.FlipByte(setup.NameAt(client, 1), 5));
  const auto& counters = setup.front_end().counters();
  const uint64_t before = counters.comparisons;
  setup.compressed.faults().verify.FailBeforeEffect(1);
  setup.executor.Advance(kEvery / 2 + std::chrono::seconds(1));
  EXPECT_EQ(counters.comparisons, before);
  EXPECT_EQ(counters.pages_marked_lost, 0u);
  EXPECT_FALSE(setup.front_end().placement().Find(kCompressor)->answers);
  setup.front_end().placement().Find(kCompressor)->answers = true;  // it was heard of again
  setup.executor.Advance(std::chrono::seconds(2));
  EXPECT_EQ(counters.comparisons, before + 1);
  EXPECT_EQ(counters.pages_marked_lost, 1u);
}

// As in a release that goes on process by process.
TEST(Reconcile, ANodeOfAnEarlierVersionIsComparedWithoutLookingForDamage) {
  FrontEndSetup setup({.compare_every = kEvery});
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Shrinking(2)}});
  ASSERT_TRUE(setup.compressed.FlipByte(setup.NameAt(client, 1), 5));
  setup.compressed.Drop(setup.NameAt(client, 2));
  setup.compressed.faults().verify.SetCode(StatusCode::kUnimplemented);
  setup.compressed.faults().verify.FailBeforeEffect(100);
  const uint64_t before = setup.front_end().counters().comparisons;
  setup.executor.Advance(kEvery / 2 + std::chrono::seconds(1));
  EXPECT_EQ(setup.front_end().counters().comparisons, before + 1);
  EXPECT_EQ(setup.EntryAt(client, 1).word.kind(), Backing::kCompressed);
  EXPECT_EQ(setup.EntryAt(client, 2).word.kind(), Backing::kLost);
}

// --- Logs that do not answer while a node is compared.

// A node with some orphans of each of 64 shards, in two pieces of a listing, and a log whose writes
// are held once the shards are served.
class ManyOrphans : public testing::Test {
 protected:
  static constexpr size_t kOrphans = 1000;
  ManyOrphans() {
    const SpaceId space = setup_.Open().space();
    setup_.Restart();  // so that this version was issued in every shard
    setup_.executor.RunReady();
    for (Offset i = 0; i < kOrphans; ++i) {
      NodeCalls(setup_.compressed).PutRaw({space, i * kStripePages, 1});
    }
    setup_.faults.Hold({CallKind::kLogWrite});
    setup_.front_end().CompareWith(kCompressor);
    setup_.executor.Advance(std::chrono::seconds(1));
  }
  ~ManyOrphans() override { setup_.Drop(); }
  size_t left() { return setup_.compressed.Names().size(); }

  FrontEndSetup setup_{{.shard_count = 64}};
};

TEST_F(ManyOrphans, AreLookedAtAFewShardsAtATime) {
  EXPECT_EQ(setup_.faults.kept(), 16u);
  setup_.faults.LetGo(0);
  setup_.executor.RunReady();
  EXPECT_EQ(setup_.faults.kept(), 16u);
  setup_.faults.Hold({});
  setup_.faults.LetGo();
  setup_.executor.Advance(std::chrono::seconds(1));
  EXPECT_EQ(left(), 0u);
  EXPECT_TRUE(setup_.front_end().reconciled());
  EXPECT_EQ(setup_.front_end().counters().orphans_deleted, kOrphans);
}

TEST_F(ManyOrphans, OfLogsThatAreStuckHoldUpThoseOfOthersForAWhileOnly) {
  setup_.faults.Hold({});  // the 16 stay
  setup_.executor.RunReady();
  EXPECT_EQ(left(), kOrphans);
  setup_.executor.Advance(std::chrono::seconds(11));
  EXPECT_LT(left(), kOrphans / 2);
  EXPECT_GT(left(), kOrphans / 8);
  EXPECT_FALSE(setup_.front_end().reconciled());
  setup_.faults.LetGo();
  setup_.executor.Advance(std::chrono::seconds(20));
  EXPECT_EQ(left(), 0u);
  EXPECT_TRUE(setup_.front_end().reconciled());
  EXPECT_EQ(setup_.front_end().counters().orphans_deleted, kOrphans);
}

// --- The rate.

// As many pages of the compressor as three pieces of a listing hold.
void StoreThreePieces(FrontEndSetup& setup, FrontEndClient& client) {
  for (Offset offset = 0; offset < 1200; ++offset) {
    setup.StoreOne(client, offset, Shrinking(offset));
  }
}

TEST(Reconcile, ARoutineComparisonKeepsToItsRateAndGivesWay) {
  FrontEndSetup setup({.compare_every = kEvery});
  FrontEndClient client = setup.Open();
  StoreThreePieces(setup, client);
  const auto& comparisons = setup.front_end().counters().comparisons;
  setup.held_compressed.Hold(HeldNode::kInventory);
  setup.executor.Advance(kEvery / 2 + std::chrono::seconds(1));
  ASSERT_EQ(setup.held_compressed.held(), 1u);
  ASSERT_EQ(comparisons, 2u);
  setup.held_compressed.LetGo();
  setup.executor.Advance(std::chrono::milliseconds(50));  // 20000 a second
  EXPECT_EQ(comparisons, 2u);
  setup.executor.Advance(std::chrono::milliseconds(10));
  EXPECT_EQ(comparisons, 3u);
  setup.executor.Advance(kEvery / 2);  // the store's
  EXPECT_EQ(comparisons, 4u);
  setup.held_compressed.Hold(HeldNode::kInventory);
  setup.executor.Advance(kEvery / 2);
  ASSERT_EQ(setup.held_compressed.held(), 1u);
  setup.held_physical.Hold(HeldNode::kInventory);
  setup.front_end().CompareWith(kStore);
  setup.held_compressed.LetGo();
  setup.executor.Advance(std::chrono::seconds(2));
  EXPECT_EQ(setup.held_physical.held(), 1u);
  EXPECT_EQ(comparisons, 4u);  // the compressor's was broken off
  EXPECT_FALSE(setup.front_end().reconciled());
  setup.held_physical.LetGo();
  setup.executor.Advance(std::chrono::seconds(3));
  EXPECT_EQ(comparisons, 7u);  // the store's names, its records, and the compressor's
  EXPECT_TRUE(setup.front_end().reconciled());
}

// Of which nobody tells but its answers.
TEST(Reconcile, ARoutineComparisonGivesWayToANodeThatAnswersAgain) {
  FrontEndSetup setup({.compare_every = kEvery});
  FrontEndClient client = setup.Open();
  StoreThreePieces(setup, client);
  const auto& comparisons = setup.front_end().counters().comparisons;
  const uint64_t before = comparisons;
  const Placement::Member& store = *setup.front_end().placement().Find(kStore);
  store.answers = false;
  setup.front_end().CompareWith(kStore);
  setup.held_compressed.Hold(HeldNode::kInventory);
  setup.executor.Advance(kEvery / 2 + std::chrono::seconds(1));
  ASSERT_EQ(setup.held_compressed.held(), 1u);
  store.answers = true;
  setup.held_physical.Hold(HeldNode::kInventory);
  setup.held_compressed.LetGo();
  setup.executor.Advance(std::chrono::seconds(2));
  EXPECT_EQ(setup.held_physical.held(), 1u);
  EXPECT_EQ(comparisons, before);  // the compressor's was broken off
  setup.held_physical.LetGo();
  setup.executor.Advance(std::chrono::seconds(3));
  EXPECT_GE(comparisons, before + 2);
}

}  // namespace
}  // namespace vswap
