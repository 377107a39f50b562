#include "services/frontend/mover.h"

#include "tests/support/front_end_setup.h"

namespace vswap {
namespace {

constexpr uint64_t kNoAnswer = ~uint64_t{0};

uint64_t Move(FrontEndSetup& setup, Tier from, Tier to) {
  uint64_t left = kNoAnswer;
  setup.front_end().MoveAll(from, to, [&](uint64_t pages) { left = pages; });
  setup.executor.RunReady();
  return left;
}

TEST(Mover, AllPagesMoveAsTheyAreAndNobodyNotices) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  // Over several batches and both shards.
  std::vector<Offset> offsets;
  for (Offset i = 0; i < 700; ++i) {
    offsets.push_back(i * 97);
    ASSERT_EQ(setup.StoreOne(client, offsets.back(), Shrinking(i)), PageCode::kOk);
  }
  const uint64_t bytes = setup.front_end().Counts()[client.space()].compressed_bytes;
  EXPECT_EQ(Move(setup, Tier::kCompressed, Tier::kPhysical), 0u);
  EXPECT_TRUE(setup.compressed.Names().empty());
  EXPECT_EQ(setup.physical.Names().size(), 700u);
  EXPECT_EQ(setup.front_end().Counts()[client.space()].physical_bytes, bytes);
  EXPECT_EQ(setup.front_end().counters().moved, 700u);
  setup.Restart();
  client = setup.Open();
  for (Offset i = 0; i < 700; ++i) {
    EXPECT_EQ(setup.LoadOne(client, offsets[i]), Shrinking(i));
  }
  EXPECT_EQ(Move(setup, Tier::kPhysical, Tier::kCompressed), 0u);
  EXPECT_EQ(setup.compressed.Names().size(), 700u);
  EXPECT_EQ(setup.LoadOne(client, offsets[9]), Shrinking(9));
}

TEST(Mover, APageThatIsStoredToMeanwhileIsNotTouched) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Shrinking(2)}, {3, Shrinking(3)}});
  setup.held_physical.Hold(HeldNode::kPut);
  uint64_t left = kNoAnswer;
  setup.front_end().MoveAll(Tier::kCompressed, Tier::kPhysical,
                            [&](uint64_t pages) { left = pages; });
  setup.executor.RunReady();
  ASSERT_EQ(setup.StoreOne(client, 1, Shrinking(1, 2)), PageCode::kOk);  // done before the move
  setup.held_compressed.Hold(HeldNode::kPut);
  const auto under_way = setup.BeginStore(client.MakeStore({{2, Shrinking(2, 2)}}));
  setup.held_physical.LetGo();
  setup.executor.RunReady();
  EXPECT_EQ(left, 2u);
  setup.held_compressed.LetGo();
  setup.executor.RunReady();
  EXPECT_TRUE(under_way->has_value());
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1, 2));
  EXPECT_EQ(setup.LoadOne(client, 2), Shrinking(2, 2));
  EXPECT_EQ(setup.LoadOne(client, 3), Shrinking(3));
  EXPECT_EQ(setup.EntryAt(client, 3).word.kind(), Backing::kPhysical);
  setup.Settle();
  EXPECT_EQ(setup.compressed.Names().size(), 2u);
  EXPECT_EQ(setup.physical.Names().size(), 1u);
}

TEST(Mover, WhatFindsNoRoomStaysWhereItIs) {
  FrontEndSetup setup({.physical_pages = 3});
  FrontEndClient client = setup.Open();
  for (Offset offset = 0; offset < 10; ++offset) {
    setup.StoreOne(client, offset, Shrinking(offset));
  }
  EXPECT_EQ(Move(setup, Tier::kCompressed, Tier::kPhysical), 7u);
  EXPECT_EQ(setup.compressed.Names().size(), 7u);
  for (Offset offset = 0; offset < 10; ++offset) {
    EXPECT_EQ(setup.LoadOne(client, offset), Shrinking(offset));
  }
}

TEST(Mover, AFailedCopyLeavesThePageAndNoLitter) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.StoreOne(client, 1, Shrinking(1));
  setup.physical.faults().put.FailAfterEffect(1);
  EXPECT_EQ(Move(setup, Tier::kCompressed, Tier::kPhysical), 1u);
  EXPECT_TRUE(setup.physical.Names().empty());
  setup.compressed.faults().get.FailBeforeEffect(1);
  EXPECT_EQ(Move(setup, Tier::kCompressed, Tier::kPhysical), 1u);
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1));
  setup.compressed.FlipByte(setup.NameAt(client, 1), 3);
  EXPECT_EQ(Move(setup, Tier::kCompressed, Tier::kPhysical), 1u);
  EXPECT_TRUE(setup.physical.Names().empty());
}

// Damage between the node and here: the copy's new checksum would have sealed it in.
TEST(Mover, ADamagedCopyIsNotPublished) {
  for (const Fault fault : {Fault::kCorruptBytes, Fault::kCorruptFields}) {
    FrontEndSetup setup;
    FrontEndClient client = setup.Open();
    setup.StoreOne(client, 1, Shrinking(1));
    setup.faults.Watch();
    setup.faults.Inject(0, fault);
    EXPECT_EQ(Move(setup, Tier::kCompressed, Tier::kPhysical), 1u);
    setup.faults.Unwatch();
    EXPECT_TRUE(setup.physical.Names().empty());
    EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1));
  }
}

TEST(Mover, ItEmptiesATierAfterStop) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.StoreOne(client, 1, Shrinking(1));
  setup.front_end().Stop();
  EXPECT_EQ(Move(setup, Tier::kCompressed, Tier::kPhysical), 0u);
  EXPECT_TRUE(setup.front_end().Idle());
  setup.Restart();
  client = setup.Open();
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1));
}

}  // namespace
}  // namespace vswap
