#include "services/compressor/arena_recovery.h"

#include <gtest/gtest.h>

#include "tests/unit/compressor/arena_bytes.h"
#include "tests/unit/compressor/arena_fixture.h"

namespace vswap {
namespace {

using arena::HeaderState;
using arena::RecordHeader;

PageName Named(Offset offset, Version version = 1) { return {1, offset, version}; }

std::set<PageName> NamesFrom(Offset first, Offset end) {
  std::set<PageName> names;
  for (; first < end; ++first) {
    names.insert(Named(first));
  }
  return names;
}

// Three records in slots 0, 1 and 2, two blocks each, from block 0 on.
class ThreeRecords : public ArenaSetup {
 public:
  static constexpr size_t kBytes = 500;
  ThreeRecords() {
    for (Offset offset = 0; offset < 3; ++offset) {
      EXPECT_TRUE(Keep(Named(offset), kBytes));
    }
  }
  // Drops the arena, lets `change` at its file, opens it again.
  template <typename Change>
  ArenaRecovery ReopenAfter(Change change) {
    Drop();
    change(ArenaBytes(options.path));
    Open();
    return arena().recovery();
  }
  bool Wiped() const { return ArenaBytes(options.path).FreeBlocksAreWiped(); }
  void ExpectRight(const std::set<PageName>& names) {
    EXPECT_EQ(Names(), names);
    for (const PageName& name : names) {
      EXPECT_TRUE(HeldRight(name, kBytes)) << "offset " << name.offset;
    }
  }
};

TEST(ArenaRecovery, WhatWasKeptIsFoundAndWhatWasDeletedIsNot) {
  ArenaSetup setup;
  const Incarnation incarnation = setup.arena().incarnation();
  for (Offset offset = 0; offset < 300; ++offset) {
    ASSERT_TRUE(setup.Keep(Named(offset), 1 + offset * 7));
  }
  for (Offset offset = 0; offset < 300; offset += 2) {
    setup.Delete(Named(offset));
  }
  const ArenaStatistics before = setup.arena().Statistics();
  setup.Reopen();
  EXPECT_EQ(setup.arena().incarnation(), incarnation);
  EXPECT_EQ(setup.arena().recovery().pages, 150u);
  EXPECT_EQ(setup.arena().recovery().damaged, 0u);
  EXPECT_EQ(setup.arena().recovery().unfinished, 0u);
  EXPECT_EQ(setup.arena().Statistics().payload_bytes, before.payload_bytes);
  EXPECT_LE(setup.arena().Statistics().used_bytes, before.used_bytes);
  for (Offset offset = 0; offset < 300; ++offset) {
    EXPECT_EQ(setup.HeldRight(Named(offset), 1 + offset * 7), offset % 2 == 1);
  }
  // The tables are whole: all of it can be filled and emptied again.
  for (Offset offset = 1; offset < 300; offset += 2) {
    setup.Delete(Named(offset));
  }
  EXPECT_EQ(setup.FileBytes(), 4096u);
}

TEST(ArenaRecovery, AnEmptyArenaStaysEmpty) {
  ArenaSetup setup;
  setup.Reopen();
  EXPECT_TRUE(setup.Names().empty());
  EXPECT_EQ(setup.FileBytes(), 4096u);
}

TEST(ArenaRecovery, AFlippedByteAnywhereInAHeaderDropsThatRecordOnly) {
  for (uint32_t byte = 0; byte < arena::kHeaderBytes; ++byte) {
    SCOPED_TRACE("byte " + std::to_string(byte));
    ThreeRecords setup;
    const auto recovery = setup.ReopenAfter(
        [&](const ArenaBytes& file) { file.Flip(ArenaBytes::HeaderAt(1) + byte); });
    EXPECT_EQ(recovery.damaged, 1u);
    setup.ExpectRight({Named(0), Named(2)});
    EXPECT_TRUE(setup.Wiped());
    EXPECT_TRUE(setup.Keep(Named(1), ThreeRecords::kBytes));
    setup.ExpectRight(NamesFrom(0, 3));
  }
}

TEST(ArenaRecovery, ATornHeaderIsIgnored) {
  ThreeRecords setup;
  const auto recovery = setup.ReopenAfter([](const ArenaBytes& file) {
    // A new header whose second half did not get there.
    RecordHeader torn = file.Header(1);
    std::memset(reinterpret_cast<char*>(&torn) + 64, 0, 64);
    file.Write(ArenaBytes::HeaderAt(1), torn);
  });
  EXPECT_EQ(recovery.damaged, 1u);
  setup.ExpectRight({Named(0), Named(2)});
}

TEST(ArenaRecovery, UnfinishedPutsAndDeletesAreWiped) {
  for (const HeaderState state : {HeaderState::kWriting, HeaderState::kDying}) {
    ThreeRecords setup;
    const auto recovery = setup.ReopenAfter([&](const ArenaBytes& file) {
      file.Write(ArenaBytes::HeaderAt(1), static_cast<uint32_t>(state));
    });
    EXPECT_EQ(recovery.unfinished, 1u);
    EXPECT_EQ(recovery.damaged, 0u);
    setup.ExpectRight({Named(0), Named(2)});
    EXPECT_TRUE(setup.Wiped());
  }
}

TEST(ArenaRecovery, OfTwoHeadersThatClaimABlockTheOneThatVerifiesStays) {
  for (const bool liar_first : {false, true}) {
    ThreeRecords setup;
    const auto recovery = setup.ReopenAfter([&](const ArenaBytes& file) {
      RecordHeader liar = file.Header(liar_first ? 0 : 2);
      liar.blocks[1] = file.Header(1).blocks[0];
      file.WriteHeader(liar.slot, liar);
    });
    EXPECT_EQ(recovery.conflicting, 1u);
    setup.ExpectRight(liar_first ? NamesFrom(1, 3) : NamesFrom(0, 2));
    EXPECT_TRUE(setup.Wiped());
    EXPECT_TRUE(setup.Keep(Named(7), ThreeRecords::kBytes));
    EXPECT_TRUE(setup.HeldRight(Named(1), ThreeRecords::kBytes));
  }
}

TEST(ArenaRecovery, OfTwoHeadersOfOneNameTheOneThatVerifiesStays) {
  for (const uint32_t liar_slot : {0u, 2u}) {
    ThreeRecords setup;
    const auto recovery = setup.ReopenAfter([&](const ArenaBytes& file) {
      RecordHeader liar = file.Header(liar_slot);
      liar.offset = file.Header(1).offset;
      file.WriteHeader(liar_slot, liar);
    });
    EXPECT_EQ(recovery.conflicting, 1u);
    setup.ExpectRight(liar_slot == 0 ? NamesFrom(1, 3) : NamesFrom(0, 2));
    EXPECT_TRUE(setup.Wiped());
  }
}

// Sound by its checksum, impossible by its contents.
TEST(ArenaRecovery, HeadersThatCannotBeAreDropped) {
  const std::function<void(RecordHeader&)> changes[] = {
      [](RecordHeader& header) { header.stored_bytes = 0; },
      [](RecordHeader& header) { header.stored_bytes = kPageBytes + 1; },
      [](RecordHeader& header) { header.blocks[1] = header.blocks[0]; },
      [](RecordHeader& header) { header.blocks[1] = 0xfffffff0; },
  };
  for (const auto& change : changes) {
    ThreeRecords setup;
    const auto recovery = setup.ReopenAfter([&](const ArenaBytes& file) {
      RecordHeader header = file.Header(1);
      change(header);
      file.WriteHeader(1, header);
    });
    EXPECT_EQ(recovery.damaged, 1u);
    setup.ExpectRight({Named(0), Named(2)});
  }
}

TEST(ArenaRecovery, AHeaderCopiedToAnotherSlotIsNotBelieved) {
  ThreeRecords setup;
  setup.Delete(Named(1));
  const auto recovery = setup.ReopenAfter(
      [](const ArenaBytes& file) { file.Write(ArenaBytes::HeaderAt(1), file.Header(0)); });
  EXPECT_EQ(recovery.damaged, 1u);
  setup.ExpectRight({Named(0), Named(2)});
}

TEST(ArenaRecovery, TheLimitMayBeRaisedAndLowered) {
  ArenaSetup setup;
  Offset count = 0;
  while (setup.Keep(Named(count), 2000)) {
    ++count;
  }
  setup.options.memory_max_bytes = 4 * kMiB;
  setup.Reopen();
  while (setup.Keep(Named(count), 2000)) {
    ++count;
  }
  EXPECT_GT(setup.FileBytes(), 3 * kMiB);
  setup.options.memory_max_bytes = kMiB;
  setup.Reopen();
  EXPECT_EQ(setup.Names(100), NamesFrom(0, count));
  EXPECT_FALSE(setup.Keep(Named(count), 1));
  for (Offset offset = 0; offset < count; ++offset) {
    ASSERT_TRUE(setup.HeldRight(Named(offset), 2000));
    setup.Delete(Named(offset));
  }
  EXPECT_EQ(setup.FileBytes(), 4096u);
  EXPECT_TRUE(setup.Keep(Named(0), 2000));
}

TEST(ArenaRecovery, MemoryThatHoldsNothingIsGivenBack) {
  ThreeRecords setup;
  setup.Drop();
  const ArenaBytes file(setup.options.path);
  const uint64_t before = setup.FileBytes();
  // A slab that a killed process had got and not used, and one that it had not wiped.
  file.Write(ArenaBytes::BlockAt(128 * 5), uint64_t{1});
  file.Write(ArenaBytes::BlockAt(128 * 20), uint64_t{1});
  file.Write(ArenaBytes::HeaderAt(32 * 9), uint64_t{0});
  ASSERT_GT(setup.FileBytes(), before);
  setup.Open();
  EXPECT_EQ(setup.FileBytes(), before);
  setup.ExpectRight(NamesFrom(0, 3));
}

TEST(ArenaRecovery, FreedBytesAreWipedAtOnce) {
  ThreeRecords setup;
  setup.Delete(Named(1));
  const ArenaBytes file(setup.options.path);
  EXPECT_TRUE(file.FreeBlocksAreWiped());
  EXPECT_EQ(file.Header(1).state, 0u);
  EXPECT_EQ(file.Header(1).space, 0u);
  EXPECT_NE(file.Read<uint64_t>(ArenaBytes::BlockAt(0)), 0u);
  EXPECT_EQ(file.Read<uint64_t>(ArenaBytes::BlockAt(2)), 0u);
}

}  // namespace
}  // namespace vswap
