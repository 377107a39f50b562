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

}  // namespace
}  // namespace vswap
