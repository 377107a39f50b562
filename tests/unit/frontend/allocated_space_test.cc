#include <gtest/gtest.h>

#include "tests/support/front_end_setup.h"

// Spaces whose entries the service hands out: allocation, references, and that retries of them do
// nothing twice, also after a restart.
namespace vswap {
namespace {

class AllocatedSpace : public testing::Test {
 protected:
  Offset One(uint32_t order = 0) {
    const MutationResult result = setup_.Allocate(client_, order, 1);
    EXPECT_TRUE(result.status.ok()) << result.status;
    return result.offsets.empty() ? ~Offset{0} : result.offsets[0];
  }
  uint32_t ReferencesOf(Offset offset) {
    return setup_.EntryAt(client_, offset).companion.references();
  }
  uint64_t Used() {
    uint64_t used = 0;
    for (const auto& [space, counts] : setup_.front_end().Counts()) {
      used += counts.used_slots();
    }
    return used;
  }
  void Reopen() { client_ = FrontEndClient(*setup_.TryOpen({.name = "s", .holder = "h"})); }

  FrontEndSetup setup_{{.shard_count = 1}};
  FrontEndClient client_ = setup_.OpenAllocated();
};

TEST_F(AllocatedSpace, AnEntryReadsAsZerosUntilStoredAndIsNotFoundWhenFreed) {
  const Offset offset = One();
  EXPECT_EQ(setup_.LoadOne(client_, offset), ZeroPage());
  EXPECT_EQ(Used(), 1u);
  ASSERT_EQ(setup_.StoreOne(client_, offset, Shrinking(offset)), PageCode::kOk);
  EXPECT_EQ(setup_.LoadOne(client_, offset), Shrinking(offset));
  EXPECT_EQ(setup_.Free(client_, {offset, 1}).freed_pages, 1u);
  EXPECT_EQ(setup_.CodeOf(client_, offset), PageCode::kNotFound);
  setup_.Settle();
  EXPECT_EQ(Used(), 0u);
  EXPECT_TRUE(setup_.compressed.Names().empty());
}

TEST_F(AllocatedSpace, StoresToWhatIsNoEntryAreRefusedPageByPage) {
  const Offset offset = One();
  const MutationResult result = setup_.Store(
      client_, {{offset, Shrinking(offset)}, {offset + 1, Shrinking(1)}, {offset + 2, ZeroPage()}});
  ASSERT_TRUE(result.status.ok());
  EXPECT_EQ(result.codes,
            (std::vector<PageCode>{PageCode::kOk, PageCode::kNotFound, PageCode::kNotFound}));
  EXPECT_EQ(Used(), 1u);
  EXPECT_TRUE(setup_.front_end().Idle());
}

TEST_F(AllocatedSpace, ReferencesKeepThePageUntilTheLastIsDropped) {
  const Offset offset = One();
  ASSERT_EQ(setup_.StoreOne(client_, offset, Noise(offset)), PageCode::kOk);
  EXPECT_EQ(setup_.Duplicate(client_, {{offset, 1}}).codes[0], PageCode::kOk);
  EXPECT_EQ(setup_.StoreOne(client_, offset, Noise(1)), PageCode::kFailedPrecondition);
  EXPECT_EQ(setup_.Free(client_, {offset, 1}).freed_pages, 1u);
  EXPECT_EQ(setup_.LoadOne(client_, offset), Noise(offset));
  EXPECT_EQ(setup_.StoreOne(client_, offset, Noise(2)), PageCode::kOk);
  EXPECT_EQ(setup_.Free(client_, {offset, 1}).freed_pages, 1u);
  EXPECT_EQ(setup_.CodeOf(client_, offset), PageCode::kNotFound);
  EXPECT_EQ(setup_.Free(client_, {offset, 1}).freed_pages, 0u);
}

TEST_F(AllocatedSpace, DuplicateTellsWhatIsNoEntryAndHasABound) {
  const Offset offset = One();
  EXPECT_EQ(setup_.Duplicate(client_, {{offset, 2}}).codes,
            (std::vector<PageCode>{PageCode::kOk, PageCode::kNotFound}));
  for (uint32_t i = 2; i < kReferencesMax; ++i) {
    ASSERT_EQ(setup_.Duplicate(client_, {{offset, 1}}).codes[0], PageCode::kOk);
  }
  EXPECT_EQ(setup_.Duplicate(client_, {{offset, 1}}).codes[0], PageCode::kResourceExhausted);
  EXPECT_EQ(ReferencesOf(offset), kReferencesMax);
}

TEST_F(AllocatedSpace, RetriesAndLateDuplicatesDoNothingTwice) {
  const RequestHeader allocate = client_.NextOn(0);
  const MutationResult first = setup_.AllocateAs(allocate, 2, 3);
  ASSERT_EQ(first.offsets.size(), 3u);
  EXPECT_EQ(setup_.AllocateAs(allocate, 2, 3).offsets, first.offsets);
  const RequestHeader duplicate = client_.NextOn(0);
  const std::vector<Extent> extents = {{first.offsets[0], 4}};
  EXPECT_EQ(setup_.DuplicateAs(duplicate, extents).codes.size(), 4u);
  EXPECT_EQ(setup_.DuplicateAs(duplicate, extents).codes.size(), 4u);
  EXPECT_EQ(ReferencesOf(first.offsets[0]), 2u);
  const RequestHeader free = client_.NextOn(0);
  EXPECT_EQ(setup_.FreeAs(free, extents).freed_pages, 4u);
  EXPECT_EQ(setup_.FreeAs(free, extents).freed_pages, 4u);
  EXPECT_EQ(ReferencesOf(first.offsets[0]), 1u);
  EXPECT_EQ(Used(), 12u);
}

// It would hand out an entry that nobody was told of.
TEST_F(AllocatedSpace, ALateDuplicateOfARefusedAllocationIsRefusedAlthoughThereIsRoomNow) {
  FrontEndClient small = setup_.OpenAllocated("small", 1);
  const Offset offset = setup_.Allocate(small, 0, 1).offsets.at(0);
  const RequestHeader refused = small.NextOn(0);
  EXPECT_EQ(setup_.AllocateAs(refused, 0, 1).status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(setup_.FreeAs(small.NextOn(0), {{offset, 1}}).freed_pages, 1u);
  setup_.Settle();
  EXPECT_EQ(setup_.AllocateAs(refused, 0, 1).status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Used(), 0u);
  small.Answered(refused);
  EXPECT_EQ(setup_.Allocate(small, 0, 1).offsets, std::vector<Offset>{offset});
}

TEST_F(AllocatedSpace, RetriesAreAnsweredByANewOwnerUntilTheFloorHasPassedThem) {
  RequestHeader allocate = client_.NextOn(0);
  const MutationResult first = setup_.AllocateAs(allocate, 0, 5);
  RequestHeader duplicate = client_.NextOn(0);
  ASSERT_EQ(setup_.DuplicateAs(duplicate, {{first.offsets[0], 5}}).codes.size(), 5u);
  RequestHeader free = client_.NextOn(0);
  ASSERT_EQ(setup_.FreeAs(free, {{first.offsets[0], 2}}).freed_pages, 2u);
  setup_.Restart();
  client_.SetEpochs(*setup_.front_end().GetShardMap());
  for (RequestHeader* header : {&allocate, &duplicate, &free}) {
    client_.RefreshOn(*header, 0);
  }
  EXPECT_EQ(setup_.AllocateAs(allocate, 0, 5).offsets, first.offsets);
  EXPECT_EQ(setup_.DuplicateAs(duplicate, {{first.offsets[0], 5}}).codes.size(), 5u);
  EXPECT_EQ(setup_.FreeAs(free, {{first.offsets[0], 2}}).freed_pages, 2u);
  EXPECT_EQ(Used(), 5u);
  EXPECT_EQ(ReferencesOf(first.offsets[0]), 1u);
  EXPECT_EQ(ReferencesOf(first.offsets[2]), 2u);
  EXPECT_EQ(setup_.LoggedAnswers(), 3u);
  for (const RequestHeader& header : {allocate, duplicate, free}) {
    client_.Answered(header);
  }
  One();  // carries the floor
  One();  // and the log forgets with the write after it
  EXPECT_LE(setup_.LoggedAnswers(), 2u);
  EXPECT_EQ(ReasonOf(setup_.AllocateAs(allocate, 0, 5).status), ErrorReason::kSuperseded);
}

TEST_F(AllocatedSpace, AnotherAttachmentDoesNotGetTheAnswersOfTheOldOne) {
  const RequestHeader old = client_.NextOn(0);
  const MutationResult first = setup_.AllocateAs(old, 0, 1);
  Reopen();
  EXPECT_EQ(ReasonOf(setup_.AllocateAs(old, 0, 1).status), ErrorReason::kFenced);
  const RequestHeader header = client_.NextOn(0);
  ASSERT_EQ(header.sequence, old.sequence);
  const MutationResult second = setup_.AllocateAs(header, 0, 1);
  ASSERT_TRUE(second.status.ok());
  EXPECT_NE(second.offsets, first.offsets);
  setup_.Restart();
  EXPECT_EQ(setup_.LoggedAnswers(), 1u);
}

TEST_F(AllocatedSpace, EntriesAndReferencesSurviveARestart) {
  const Offset offset = One(3);
  ASSERT_EQ(setup_.StoreOne(client_, offset + 2, Noise(2)), PageCode::kOk);
  ASSERT_EQ(setup_.Duplicate(client_, {{offset, 4}}).codes[2], PageCode::kOk);
  setup_.Restart();
  Reopen();
  EXPECT_EQ(Used(), 8u);
  EXPECT_EQ(ReferencesOf(offset + 2), 2u);
  EXPECT_EQ(ReferencesOf(offset + 4), 1u);
  EXPECT_EQ(setup_.LoadOne(client_, offset + 2), Noise(2));
  EXPECT_EQ(setup_.LoadOne(client_, offset + 7), ZeroPage());
  const MutationResult more = setup_.Allocate(client_, 0, 512);
  for (const Offset other : more.offsets) {
    EXPECT_TRUE(other < offset || other >= offset + 8);
  }
}

TEST_F(AllocatedSpace, FreedSlotsAreHandedOutAgainOnlyAfterTheLogHasForgottenThem) {
  FrontEndClient small = setup_.OpenAllocated("small", 4);
  const MutationResult all = setup_.Allocate(small, 0, 9);
  EXPECT_EQ(all.offsets.size(), 4u);
  EXPECT_EQ(setup_.Allocate(small, 0, 1).status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(setup_.Free(small, {all.offsets[1], 1}).freed_pages, 1u);
  setup_.Settle();
  EXPECT_EQ(setup_.Allocate(small, 0, 1).offsets, (std::vector<Offset>{all.offsets[1]}));
  EXPECT_EQ(setup_.front_end().counters().rejected_allocations, 1u);
}

TEST_F(AllocatedSpace, WhatIsBeingChangedIsRefusedForAMomentAndNothingIsLost) {
  const Offset offset = One();
  ASSERT_EQ(setup_.StoreOne(client_, offset, Noise(1)), PageCode::kOk);
  setup_.held_physical.Hold(HeldNode::kPut);
  StoreCall store = client_.MakeStore({{offset, Noise(2)}});
  const auto under_way = setup_.BeginStore(std::move(store));
  const RequestHeader duplicate = client_.NextOn(0);
  EXPECT_EQ(setup_.DuplicateAs(duplicate, {{offset, 1}}).status.code(), StatusCode::kUnavailable);
  const RequestHeader free = client_.NextOn(0);
  EXPECT_EQ(setup_.FreeAs(free, {{offset, 1}}).status.code(), StatusCode::kUnavailable);
  setup_.held_physical.LetGo();
  setup_.executor.RunReady();
  ASSERT_TRUE(under_way->has_value());
  EXPECT_EQ((*under_way)->codes[0], PageCode::kOk);
  EXPECT_EQ(setup_.DuplicateAs(duplicate, {{offset, 1}}).codes[0], PageCode::kOk);
  EXPECT_EQ(setup_.FreeAs(free, {{offset, 1}}).freed_pages, 1u);
  EXPECT_EQ(setup_.LoadOne(client_, offset), Noise(2));
}

TEST_F(AllocatedSpace, MovesKeepTheReferences) {
  const Offset offset = One();
  ASSERT_EQ(setup_.StoreOne(client_, offset, Shrinking(1)), PageCode::kOk);
  ASSERT_EQ(setup_.Duplicate(client_, {{offset, 1}}).codes[0], PageCode::kOk);
  uint64_t left = 1;
  setup_.front_end().MoveAll(Tier::kCompressed, Tier::kPhysical, [&](uint64_t l) { left = l; });
  setup_.executor.RunReady();
  EXPECT_EQ(left, 0u);
  EXPECT_EQ(setup_.EntryAt(client_, offset).word.kind(), Backing::kPhysical);
  EXPECT_EQ(ReferencesOf(offset), 2u);
  EXPECT_EQ(setup_.LoadOne(client_, offset), Shrinking(1));
}

TEST_F(AllocatedSpace, TheBackingQueryTellsFreeSlotsAndPrefixes) {
  const Offset offset = One(3);
  setup_.Store(client_,
               {{offset, Shrinking(0)}, {offset + 1, Shrinking(1)}, {offset + 2, ZeroPage()}});
  const auto runs = setup_.Extents(client_, {offset, 10});
  ASSERT_TRUE(runs.ok());
  ASSERT_EQ(runs->size(), 4u);
  EXPECT_EQ((*runs)[0].pages, 2u);
  EXPECT_EQ((*runs)[0].first.word.kind(), Backing::kCompressed);
  EXPECT_EQ((*runs)[2].pages, 5u);
  EXPECT_FALSE((*runs)[2].free);
  EXPECT_EQ((*runs)[3].pages, 2u);
  EXPECT_TRUE((*runs)[3].free);
}

TEST_F(AllocatedSpace, ALoadOfOneBackingAnswersMixed) {
  const Offset offset = One(2);
  setup_.Store(client_, {{offset, Shrinking(0)},
                         {offset + 1, Shrinking(1)},
                         {offset + 2, Noise(2)},
                         {offset + 3, Noise(3)}});
  const auto load = [&](Offset first, uint32_t pages) {
    LoadCall call{client_.Next(first), {{first, pages}}, true, SpaceKind::kUnset};
    const auto reply = setup_.BeginLoad(std::move(call));
    return ReasonOf((*reply)->status);
  };
  EXPECT_EQ(load(offset, 4), ErrorReason::kMixed);
  EXPECT_EQ(load(offset, 2), ErrorReason::kNone);
  EXPECT_EQ(load(offset + 2, 2), ErrorReason::kNone);
  EXPECT_EQ(load(offset + 1, 2), ErrorReason::kMixed);
}

TEST_F(AllocatedSpace, BadRequestsNameFieldAndRange) {
  const auto message = [&](const MutationResult& result) {
    EXPECT_EQ(result.status.code(), StatusCode::kInvalidArgument);
    return std::string(MessageOf(result.status));
  };
  EXPECT_EQ(message(setup_.Allocate(client_, 10, 1)), "order is 10, allowed: 0..9");
  EXPECT_EQ(message(setup_.Allocate(client_, 0, 0)), "count is 0, allowed: 1..512 at order 0");
  EXPECT_EQ(message(setup_.Allocate(client_, 9, 65)), "count is 65, allowed: 1..64 at order 9");
  EXPECT_EQ(message(setup_.Duplicate(client_, {{0, 2}, {1, 1}})),
            "extents is slot 1 twice, allowed: each slot once");
  EXPECT_EQ(message(setup_.Duplicate(client_, {{0, 513}})),
            "pages is 513, allowed: 1..512 at offset 0");
  FrontEndClient device = setup_.Open();
  EXPECT_EQ(setup_.Allocate(device, 0, 1).status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(setup_.Duplicate(device, {{0, 1}}).status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(
      setup_.TryOpen({.name = "s", .holder = "h", .kind = SpaceKind::kDevice}).status().code(),
      StatusCode::kFailedPrecondition);
}

// All pages of a folio or none.
class WholeStore : public testing::Test {
 protected:
  MutationResult Store(Offset offset, uint32_t pages, uint64_t number, bool shrinks = false) {
    std::vector<ContentAt> contents;
    for (Offset i = offset; i < offset + pages; ++i) {
      contents.push_back({i, shrinks ? Shrinking(i, number) : Noise(i, number)});
    }
    StoreCall call = client_.MakeStore(std::move(contents));
    call.extents = {{offset, pages}};
    call.whole = true;
    const RequestHeader header = call.header;
    const auto result = setup_.BeginStore(std::move(call));
    client_.Answered(header);
    return result->value_or(MutationResult{});
  }
  std::vector<PageCode> All(uint32_t pages, PageCode code) {
    return std::vector<PageCode>(pages, code);
  }

  FrontEndSetup setup_{
      {.compressed_pages = 4, .physical_pages = 10, .overlap_pages = 8, .shard_count = 1}};
  FrontEndClient client_ = setup_.Open();
};

TEST_F(WholeStore, WithoutRoomForOnePageNothingIsStored) {
  EXPECT_EQ(Store(0, 8, 1).codes, All(8, PageCode::kOk));
  EXPECT_EQ(Store(8, 4, 1).codes, All(4, PageCode::kResourceExhausted));
  EXPECT_EQ(setup_.physical.Names().size(), 8u);
  EXPECT_EQ(setup_.LoadOne(client_, 8), ZeroPage());
  EXPECT_EQ(Store(8, 2, 1).codes, All(2, PageCode::kOk));
  EXPECT_TRUE(setup_.front_end().Idle());
}

TEST_F(WholeStore, TwoTiersTogetherMayTakeIt) {
  EXPECT_EQ(Store(0, 8, 1, true).codes, All(8, PageCode::kOk));
  EXPECT_EQ(setup_.compressed.Names().size(), 4u);
  EXPECT_EQ(setup_.physical.Names().size(), 4u);
}

TEST_F(WholeStore, WhatWasThereStaysAndAFullDeviceCanBeOverwritten) {
  ASSERT_EQ(Store(0, 8, 1).codes, All(8, PageCode::kOk));
  ASSERT_EQ(Store(8, 2, 1).codes, All(2, PageCode::kOk));
  for (uint64_t number = 2; number < 20; ++number) {
    ASSERT_EQ(Store(0, 8, number).codes, All(8, PageCode::kOk)) << number;
  }
  EXPECT_EQ(Store(8, 4, 99).codes, All(4, PageCode::kResourceExhausted));
  EXPECT_EQ(setup_.LoadOne(client_, 8), Noise(8, 1));
  EXPECT_EQ(setup_.LoadOne(client_, 3), Noise(3, 19));
  setup_.Settle();
  EXPECT_EQ(setup_.physical.Names().size(), 10u);
}

TEST_F(WholeStore, OneDamagedPageRefusesAll) {
  StoreCall call = client_.MakeStore({{0, Noise(0)}, {1, Noise(1)}});
  call.extents = {{0, 2}};
  call.whole = true;
  call.pages[1].checksum ^= 1;
  const auto result = setup_.BeginStore(std::move(call));
  EXPECT_EQ((*result)->codes, All(2, PageCode::kCorrupt));
  setup_.Settle();
  EXPECT_TRUE(setup_.physical.Names().empty());
}

TEST_F(WholeStore, ShapesThatAreNoFolioAreRefused) {
  const auto refused = [&](std::vector<Extent> extents, std::vector<ContentAt> contents) {
    StoreCall call = client_.MakeStore(std::move(contents));
    call.extents = std::move(extents);
    call.whole = true;
    return (*setup_.BeginStore(std::move(call)))->status.code() == StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused({{1, 2}}, {{1, Noise(1)}, {2, Noise(2)}}));
  EXPECT_TRUE(refused({{0, 3}}, {{0, Noise(0)}, {1, Noise(1)}, {2, Noise(2)}}));
  EXPECT_TRUE(refused({{0, 1}, {1, 1}}, {{0, Noise(0)}, {1, Noise(1)}}));
}

}  // namespace
}  // namespace vswap
