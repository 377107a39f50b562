#include "services/frontend/store_path.h"

#include "tests/support/front_end_setup.h"

namespace vswap {
namespace {

using Codes = std::vector<PageCode>;

TEST(StorePath, EachPageFindsItsBacking) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  const MutationResult stored =
      setup.Store(client, {{1, ZeroPage()}, {2, Shrinking(2)}, {3, Noise(3)}, {4, Shrinking(4)}});
  ASSERT_TRUE(stored.status.ok()) << stored.status;
  EXPECT_EQ(stored.codes, Codes(4, PageCode::kOk));
  EXPECT_EQ(setup.EntryAt(client, 1).word.kind(), Backing::kZero);
  EXPECT_EQ(setup.EntryAt(client, 2).word.kind(), Backing::kCompressed);
  EXPECT_EQ(setup.EntryAt(client, 3).word.kind(), Backing::kPhysical);
  EXPECT_EQ(setup.LoadOne(client, 1), ZeroPage());
  EXPECT_EQ(setup.LoadOne(client, 2), Shrinking(2));
  EXPECT_EQ(setup.LoadOne(client, 3), Noise(3));
  EXPECT_EQ(setup.LoadOne(client, 4), Shrinking(4));
  EXPECT_EQ(setup.compressed.Names().size(), 2u);
  EXPECT_EQ(setup.physical.Names().size(), 1u);
  const SpaceCounts counts = setup.front_end().Counts()[client.space()];
  EXPECT_EQ(counts.zero_pages, 1u);
  EXPECT_EQ(counts.compressed_pages, 2u);
  EXPECT_EQ(counts.physical_pages, 1u);
  EXPECT_EQ(counts.physical_bytes, kPageBytes);
  EXPECT_EQ(setup.front_end().counters().incompressible, 1u);
}

TEST(StorePath, AnOverwriteReleasesTheOldBackingAndOnlyThat) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  for (const PageBytes& bytes :
       {Shrinking(1), Noise(1), ZeroPage(), Shrinking(1, 2), Noise(1, 2)}) {
    ASSERT_EQ(setup.StoreOne(client, 1, bytes), PageCode::kOk);
    EXPECT_EQ(setup.LoadOne(client, 1), bytes);
    const size_t kept = bytes == ZeroPage() ? 0 : 1;
    EXPECT_EQ(setup.compressed.Names().size() + setup.physical.Names().size(), kept);
  }
}

TEST(StorePath, TheOldBackingStaysUntilTheNewOneIsInTheLog) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  ASSERT_EQ(setup.StoreOne(client, 1, Shrinking(1)), PageCode::kOk);
  setup.log.faults().FailBeforeEffect(3);
  const auto result = setup.BeginStore(client.MakeStore({{1, Shrinking(1, 2)}}));
  EXPECT_FALSE(result->has_value());
  EXPECT_EQ(setup.compressed.Names().size(), 2u);
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1));
  setup.executor.Advance(std::chrono::seconds(5));
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ((*result)->codes, Codes{PageCode::kOk});
  EXPECT_EQ(setup.compressed.Names().size(), 1u);
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1, 2));
}

TEST(StorePath, AFullCompressedTierPassesPagesOn) {
  FrontEndSetup setup({.compressed_pages = 2});
  FrontEndClient client = setup.Open();
  std::vector<ContentAt> pages;
  for (Offset offset = 0; offset < 5; ++offset) {
    pages.push_back({offset, Shrinking(offset)});
  }
  EXPECT_EQ(setup.Store(client, pages).codes, Codes(5, PageCode::kOk));
  EXPECT_EQ(setup.compressed.Names().size(), 2u);
  EXPECT_EQ(setup.physical.Names().size(), 3u);
  for (Offset offset = 0; offset < 5; ++offset) {
    EXPECT_EQ(setup.LoadOne(client, offset), Shrinking(offset));
  }
}

TEST(StorePath, WithBothTiersFullExactlyThePagesWithoutRoomAreRefused) {
  FrontEndSetup setup({.compressed_pages = 2, .physical_pages = 2});
  FrontEndClient client = setup.Open();
  ASSERT_EQ(setup.StoreOne(client, 9, ZeroPage()), PageCode::kOk);
  std::vector<ContentAt> pages = {{0, Shrinking(0)}, {1, ZeroPage()},   {2, Shrinking(2)},
                                  {3, Shrinking(3)}, {4, Shrinking(4)}, {5, Shrinking(5)},
                                  {6, ZeroPage()},   {9, Shrinking(9)}};
  const MutationResult stored = setup.Store(client, pages);
  ASSERT_TRUE(stored.status.ok()) << stored.status;
  EXPECT_EQ(stored.codes,
            (Codes{PageCode::kOk, PageCode::kOk, PageCode::kOk, PageCode::kOk, PageCode::kOk,
                   PageCode::kResourceExhausted, PageCode::kOk, PageCode::kResourceExhausted}));
  EXPECT_EQ(setup.front_end().counters().rejected_no_room, 2u);
  EXPECT_EQ(setup.LoadOne(client, 4), Shrinking(4));
  EXPECT_EQ(setup.LoadOne(client, 5), ZeroPage());  // never stored
  EXPECT_EQ(setup.LoadOne(client, 9), ZeroPage());  // what was there
  // A free makes room again.
  ASSERT_TRUE(setup.Free(client, {0, 1}).status.ok());
  EXPECT_EQ(setup.StoreOne(client, 9, Shrinking(9)), PageCode::kOk);
  EXPECT_TRUE(setup.front_end().Idle());
}

TEST(StorePath, AFullDeviceCanBeOverwrittenForEver) {
  FrontEndSetup setup({.compressed_pages = 64, .physical_pages = 64, .overlap_pages = 4});
  FrontEndClient client = setup.Open();
  for (Offset offset = 0; offset < 128; ++offset) {
    ASSERT_EQ(setup.StoreOne(client, offset, Shrinking(offset)), PageCode::kOk);
  }
  ASSERT_EQ(setup.StoreOne(client, 200, Shrinking(200)), PageCode::kResourceExhausted);
  for (uint64_t number = 2; number < 6; ++number) {
    for (Offset first = 0; first < 128; first += 32) {
      std::vector<ContentAt> pages;
      for (Offset offset = first; offset < first + 32; ++offset) {
        pages.push_back({offset, Shrinking(offset, number)});
      }
      ASSERT_EQ(setup.Store(client, pages).codes, Codes(32, PageCode::kOk)) << "offset " << first;
    }
  }
  EXPECT_EQ(setup.LoadOne(client, 77), Shrinking(77, 5));
}

// Many batches at once fight for a small reserve; the deletes are slow. None may be refused.
TEST(StorePath, AFullDeviceTakesManyOverwritesAtOnce) {
  FrontEndSetup setup({.compressed_pages = 0, .physical_pages = 1024, .overlap_pages = 8});
  FrontEndClient client = setup.Open();
  for (Offset offset = 0; offset < 1024; ++offset) {
    ASSERT_EQ(setup.StoreOne(client, offset, Shrinking(offset)), PageCode::kOk);
  }
  setup.held_physical.Hold(HeldNode::kDelete);
  std::vector<std::shared_ptr<std::optional<MutationResult>>> results;
  for (Offset first = 0; first < 1024; first += 16) {
    std::vector<ContentAt> pages;
    for (Offset offset = first; offset < first + 16; ++offset) {
      pages.push_back({offset, Shrinking(offset, 2)});
    }
    results.push_back(setup.BeginStore(client.MakeStore(pages)));
  }
  for (int i = 0; i < 10000 && !setup.front_end().Idle(); ++i) {
    setup.held_physical.LetGo();
    setup.held_physical.Hold(HeldNode::kDelete);
    setup.executor.RunReady();
  }
  for (const auto& result : results) {
    ASSERT_TRUE(result->has_value());
    EXPECT_EQ((*result)->codes, Codes(16, PageCode::kOk));
  }
  EXPECT_EQ(setup.physical.Names().size(), 1024u);
}

TEST(StorePath, AStoreWaitsForRoomThatAFreeIsAboutToGiveBack) {
  FrontEndSetup setup({.compressed_pages = 0, .physical_pages = 8});
  FrontEndClient client = setup.Open();
  for (Offset offset = 0; offset < 8; ++offset) {
    ASSERT_EQ(setup.StoreOne(client, offset, Shrinking(offset)), PageCode::kOk);
  }
  setup.held_physical.Hold(HeldNode::kDelete);
  ASSERT_TRUE(setup.Free(client, {0, 2}).status.ok());
  const auto stored = setup.BeginStore(client.MakeStore({{20, Noise(20)}, {21, Noise(21)}}));
  EXPECT_FALSE(stored->has_value());
  setup.held_physical.LetGo();
  setup.executor.RunReady();
  ASSERT_TRUE(stored->has_value());
  EXPECT_EQ((*stored)->codes, Codes(2, PageCode::kOk));
  EXPECT_EQ(setup.StoreOne(client, 22, Noise(22)), PageCode::kResourceExhausted);
}

// The free's records are deleted after one tier has refused the page and before it is told so.
TEST(StorePath, RoomThatCameBackWhileAPageWasRefusedIsFound) {
  FrontEndSetup setup({.compressed_pages = 4, .physical_pages = 1});
  FrontEndClient client = setup.Open();
  for (Offset offset = 0; offset < 5; ++offset) {
    ASSERT_EQ(setup.StoreOne(client, offset, Shrinking(offset)), PageCode::kOk);
  }
  setup.held_physical.Hold(HeldNode::kPut);
  const auto stored = setup.BeginStore(client.MakeStore({{20, Shrinking(20)}}));
  ASSERT_EQ(setup.held_physical.held(), 1u);
  ASSERT_TRUE(setup.Free(client, {0, 1}).status.ok());
  setup.held_physical.LetGo();
  setup.executor.RunReady();
  ASSERT_TRUE(stored->has_value());
  EXPECT_EQ((*stored)->codes, Codes{PageCode::kOk});
  EXPECT_EQ(setup.StoreOne(client, 21, Shrinking(21)), PageCode::kResourceExhausted);
}

// A page that does not shrink any more, and whose growth has no room, is refused although others
// overwrite.
TEST(StorePath, APageThatGrowsIsRefusedOnAFullDeviceUnderOverwrites) {
  FrontEndSetup setup({.compressed_pages = 16, .physical_pages = 0, .overlap_pages = 2});
  FrontEndClient client = setup.Open();
  for (Offset offset = 0; offset < 16; ++offset) {
    ASSERT_EQ(setup.StoreOne(client, offset, Shrinking(offset)), PageCode::kOk);
  }
  setup.held_compressed.Hold(HeldNode::kDelete);
  const auto overwrite = setup.BeginStore(client.MakeStore({{1, Shrinking(1, 2)}}));
  const auto grows = setup.BeginStore(client.MakeStore({{2, Noise(2)}}));
  setup.held_compressed.LetGo();
  setup.executor.RunReady();
  ASSERT_TRUE(overwrite->has_value() && grows->has_value());
  EXPECT_EQ((*overwrite)->codes, Codes{PageCode::kOk});
  EXPECT_EQ((*grows)->codes, Codes{PageCode::kResourceExhausted});
  EXPECT_EQ(setup.LoadOne(client, 2), Shrinking(2));
}

TEST(StorePath, CorruptAndInvalidPagesAreRefusedAloneAndTheOldOnesStay) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  for (Offset offset = 0; offset < 5; ++offset) {
    ASSERT_EQ(setup.StoreOne(client, offset, Shrinking(offset)), PageCode::kOk);
  }
  StoreCall call = client.MakeStore({{0, Shrinking(0, 2)},
                                     {1, Shrinking(1, 2)},
                                     {2, ZeroPage()},
                                     {3, Shrinking(3, 2)},
                                     {4, Shrinking(4, 2)}});
  call.pages[1].checksum ^= 1;
  call.pages[2].checksum ^= 1;
  call.pages[3].encoding = Encoding::kLz4;  // what follows is no LZ4 block
  call.pages[3].bytes = call.pages[3].bytes.first(100);
  const auto result = setup.BeginStore(std::move(call));
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ((*result)->codes, (Codes{PageCode::kOk, PageCode::kCorrupt, PageCode::kCorrupt,
                                     PageCode::kInvalid, PageCode::kOk}));
  const uint64_t numbers[] = {2, 1, 1, 1, 2};
  for (Offset offset = 0; offset < 5; ++offset) {
    EXPECT_EQ(setup.LoadOne(client, offset), Shrinking(offset, numbers[offset]));
  }
  EXPECT_EQ(setup.front_end().counters().rejected_corrupt, 2u);
  EXPECT_EQ(setup.front_end().counters().rejected_invalid, 1u);
  EXPECT_EQ(setup.compressed.Names().size(), 5u);
}

TEST(StorePath, APutOfUnknownEffectGoesElsewhereAndLeavesNothingBehind) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.compressed.faults().put.FailAfterEffect(1);
  EXPECT_EQ(setup.StoreOne(client, 1, Shrinking(1)), PageCode::kOk);
  EXPECT_EQ(setup.EntryAt(client, 1).word.kind(), Backing::kPhysical);
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1));
  EXPECT_TRUE(setup.compressed.Names().empty());
}

// A second compressor that joins while the first is full, and then cannot be reached.
TEST(StorePath, AnotherSetOfTheTierTakesWhatTheFirstDoesNot) {
  FrontEndSetup setup({.compressed_pages = 2, .overlap_pages = 0});
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Shrinking(2)}, {3, Shrinking(3)}});
  EXPECT_EQ(setup.EntryAt(client, 3).word.kind(), Backing::kPhysical);
  MemoryNode second({.mode = MemoryNode::Mode::kCompressed, .incarnation = 13});
  setup.front_end().placement().AddNode({3, Tier::kCompressed, "second", 13, &second});
  setup.front_end().placement().AddSet(3, Tier::kCompressed, {3});
  for (Offset offset = 4; offset < 10; ++offset) {
    ASSERT_EQ(setup.StoreOne(client, offset, Shrinking(offset)), PageCode::kOk);
    EXPECT_EQ(setup.EntryAt(client, offset).word.kind(), Backing::kCompressed);
    EXPECT_EQ(setup.EntryAt(client, offset).word.set(), 3u);
  }
  // Noise is offered to one compressor only.
  EXPECT_EQ(setup.StoreOne(client, 20, Noise(20)), PageCode::kOk);
  EXPECT_EQ(setup.front_end().counters().incompressible, 1u);
  second.faults().put.FailAfterEffect(1);
  setup.Free(client, {1, 1});
  for (Offset offset = 10; offset < 12; ++offset) {
    ASSERT_EQ(setup.StoreOne(client, offset, Shrinking(offset)), PageCode::kOk);
  }
  for (Offset offset = 2; offset < 12; ++offset) {
    EXPECT_EQ(setup.LoadOne(client, offset), Shrinking(offset));
  }
  setup.Settle();
  setup.Free(client, {0, 100});
  setup.Settle();
  EXPECT_TRUE(second.Names().empty());  // also what was put there and not acknowledged
  EXPECT_TRUE(setup.compressed.Names().empty());
  EXPECT_TRUE(setup.physical.Names().empty());
  setup.Drop();  // before the node
}

TEST(StorePath, WithNoNodeInReachAPageIsUnavailableAndTheOldOneStays) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  ASSERT_EQ(setup.StoreOne(client, 1, Shrinking(1)), PageCode::kOk);
  setup.compressed.faults().put.FailAfterEffect(1);
  setup.physical.faults().put.FailAfterEffect(1);
  EXPECT_EQ(setup.StoreOne(client, 1, Shrinking(1, 2)), PageCode::kUnavailable);
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1));
  EXPECT_EQ(setup.compressed.Names().size(), 1u);
  EXPECT_TRUE(setup.physical.Names().empty());
  EXPECT_EQ(setup.StoreOne(client, 1, Shrinking(1, 3)), PageCode::kOk);
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1, 3));
}

// No load would believe that the page is there.
TEST(StorePath, WhatAnotherIncarnationKeepsIsNotAcknowledged) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.compressed.SetIncarnation(99);
  EXPECT_EQ(setup.StoreOne(client, 1, Shrinking(1)), PageCode::kOk);
  EXPECT_EQ(setup.EntryAt(client, 1).word.kind(), Backing::kPhysical);
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1));
  setup.physical.SetIncarnation(99);
  EXPECT_EQ(setup.StoreOne(client, 2, Shrinking(2)), PageCode::kUnavailable);
  setup.Settle();
  EXPECT_TRUE(setup.compressed.Names().empty());
}

TEST(StorePath, DeletesAreTriedAgainUntilTheyAreDone) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  ASSERT_EQ(setup.StoreOne(client, 1, Shrinking(1)), PageCode::kOk);
  setup.compressed.faults().remove.FailBeforeEffect(3);
  ASSERT_TRUE(setup.Free(client, {1, 1}).status.ok());
  EXPECT_EQ(setup.compressed.Names().size(), 1u);
  EXPECT_FALSE(setup.front_end().Idle());
  setup.Settle();
  EXPECT_TRUE(setup.compressed.Names().empty());
}

TEST(StorePath, AFreeOvertakesAStoreThatIsStillUnderWay) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  ASSERT_EQ(setup.StoreOne(client, 1, Shrinking(1)), PageCode::kOk);
  setup.held_compressed.Hold(HeldNode::kPut);
  const auto stored = setup.BeginStore(client.MakeStore({{1, Shrinking(1, 2)}}));
  ASSERT_EQ(setup.held_compressed.held(), 1u);
  const MutationResult freed = setup.Free(client, {0, 512});
  EXPECT_TRUE(freed.status.ok());
  EXPECT_EQ(freed.freed_pages, 1u);
  EXPECT_EQ(setup.LoadOne(client, 1), ZeroPage());
  EXPECT_FALSE(stored->has_value());
  setup.held_compressed.LetGo();
  setup.executor.RunReady();
  ASSERT_TRUE(stored->has_value());
  EXPECT_EQ((*stored)->codes, Codes{PageCode::kOk});
  EXPECT_EQ(setup.LoadOne(client, 1), ZeroPage());
  EXPECT_EQ(setup.front_end().stores_overtaken(), 1u);
  setup.Settle();
  EXPECT_TRUE(setup.compressed.Names().empty());
  EXPECT_EQ(setup.LoggedSlots(), 0u);
}

TEST(StorePath, AFreeOfASlotWhoseFirstStoreIsUnderWayEmptiesIt) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.held_compressed.Hold(HeldNode::kPut);
  const auto stored = setup.BeginStore(client.MakeStore({{1, Shrinking(1)}}));
  EXPECT_TRUE(setup.Free(client, {1, 1}).status.ok());
  setup.held_compressed.LetGo();
  setup.executor.RunReady();
  ASSERT_TRUE(stored->has_value());
  EXPECT_EQ(setup.LoadOne(client, 1), ZeroPage());
  setup.Settle();
  EXPECT_TRUE(setup.compressed.Names().empty());
}

TEST(StorePath, OfTwoStoresToOneSlotTheLaterAdmittedWins) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.held_compressed.Hold(HeldNode::kPut);
  const auto first = setup.BeginStore(client.MakeStore({{1, Shrinking(1)}, {2, Shrinking(2)}}));
  const auto second =
      setup.BeginStore(client.MakeStore({{1, Noise(1)}}));  // passes by the held one
  setup.executor.RunReady();
  setup.held_compressed.LetGo();
  setup.executor.RunReady();
  ASSERT_TRUE(first->has_value() && second->has_value());
  EXPECT_EQ(setup.LoadOne(client, 1), Noise(1));
  EXPECT_EQ(setup.LoadOne(client, 2), Shrinking(2));
  setup.Settle();
  EXPECT_EQ(setup.compressed.Names().size() + setup.physical.Names().size(), 2u);
}

TEST(StorePath, FreeingEverythingEmptiesTableLogAndNodes) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  for (Offset offset = 0; offset < 100; ++offset) {
    setup.StoreOne(client, offset * 700, offset % 3 == 0 ? Noise(offset) : Shrinking(offset));
  }
  uint32_t freed = 0;
  for (Offset offset = 0; offset < 70000 + kStripePages; offset += kStripePages) {
    freed += setup.Free(client, {offset, kStripePages}).freed_pages;
  }
  EXPECT_EQ(freed, 100u);
  setup.Settle();
  EXPECT_TRUE(setup.compressed.Names().empty());
  EXPECT_TRUE(setup.physical.Names().empty());
  EXPECT_EQ(setup.LoggedSlots(), 0u);
  for (const auto& shard : setup.front_end().shards()) {
    shard->Inspect([](const EntryTable& table) { EXPECT_EQ(table.cluster_count(), 0u); });
  }
}

TEST(StorePath, AFencedStoreIsNeverSeenAndLeavesNothing) {
  FrontEndSetup setup;
  FrontEndClient old = setup.Open("a", "h");
  setup.held_compressed.Hold(HeldNode::kPut);
  const auto result = setup.BeginStore(old.MakeStore({{1, Shrinking(1)}, {2, ZeroPage()}}));
  FrontEndClient now = setup.Open("a", "h");
  setup.held_compressed.LetGo();
  setup.executor.RunReady();
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ(ReasonOf((*result)->status), ErrorReason::kFenced);
  EXPECT_EQ(setup.LoadOne(now, 1), ZeroPage());
  setup.Settle();
  EXPECT_TRUE(setup.compressed.Names().empty());
  EXPECT_EQ(setup.front_end().counters().stores_fenced, 1u);
}

}  // namespace
}  // namespace vswap
