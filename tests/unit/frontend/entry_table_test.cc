#include "services/frontend/entry_table.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "services/common/page.h"
#include "services/common/process_usage.h"
#include "services/common/thread_pool.h"

namespace vswap {
namespace {

Entry Compressed(Version version, uint32_t bytes = 100) {
  return {Word(Backing::kCompressed, 1, version), Companion::Stored(bytes)};
}

TEST(Backing, AWordKeepsItsParts) {
  const Word word(Backing::kLost, kSetIdMax, kVersionMax);
  EXPECT_EQ(word.kind(), Backing::kLost);
  EXPECT_EQ(word.set(), kSetIdMax);
  EXPECT_EQ(word.version(), kVersionMax);
  EXPECT_TRUE(word.valid());
  EXPECT_FALSE(word.stored());
  EXPECT_FALSE(Word(uint64_t{5} << 61).valid());
  const Companion companion = Companion::Stored(4096);
  EXPECT_EQ(companion.stored_bytes(), 4096u);
  EXPECT_EQ(companion.references(), 1u);
  for (const auto& [by, other] : {std::pair(SeenBy::kComparison, SeenBy::kCheck),
                                  std::pair(SeenBy::kCheck, SeenBy::kComparison)}) {
    const Companion seen = companion.WithSeen(by, true);
    EXPECT_TRUE(seen.seen(by));
    EXPECT_FALSE(seen.seen(other));
    EXPECT_EQ(seen.WithSeen(by, false), companion);
    EXPECT_TRUE(seen.WithLoaded(true).loaded());
    EXPECT_EQ(seen.WithLoaded(true).Logged(), companion);
  }
}

TEST(EntryTable, ClustersComeAndGoWithTheirEntries) {
  EntryTable table;
  EXPECT_FALSE(table.Get(1, 5).word.live());
  EXPECT_EQ(table.cluster_count(), 0u);
  table.Publish(1, 5, Compressed(3));
  table.Publish(1, 511, Compressed(4));
  table.Publish(1, 512, Compressed(5));
  table.Publish(2, 5, Compressed(6));
  EXPECT_EQ(table.cluster_count(), 3u);
  EXPECT_EQ(table.Get(1, 511).word.version(), 4u);
  EXPECT_EQ(table.Publish(1, 511, {}).word.version(), 4u);
  EXPECT_EQ(table.cluster_count(), 3u);
  table.Publish(1, 5, {});
  EXPECT_EQ(table.cluster_count(), 2u);
  table.Publish(1, 512, {});
  table.Publish(2, 5, {});
  EXPECT_EQ(table.cluster_count(), 0u);
  EXPECT_TRUE(table.counts().empty());
}

TEST(EntryTable, TheColdestAreTheOldestThatWereNotLoaded) {
  EntryTable table;
  constexpr Version kOldest = 10;
  // Over clusters; the oldest have the highest offsets.
  for (Version i = 0; i < 3000; ++i) {
    table.Publish(1, 3000 - i, Compressed(kOldest + i));
  }
  table.Publish(1, 4000, {Word(Backing::kPhysical, 2, 1), Companion::Stored(100)});
  table.Publish(1, 4001, {Word(Backing::kCompressed, 3, 2), Companion::Stored(100)});
  EXPECT_EQ(table.Touch(1, 3000).word.version(), kOldest);
  EXPECT_FALSE(table.Touch(1, 9999).word.live());
  const auto versions = [&](size_t count) {
    std::set<Version> found;
    for (const NamedEntry& entry : table.TakeColdest({1}, count)) {
      EXPECT_EQ(entry.offset, 3000 - (entry.entry.word.version() - kOldest));
      EXPECT_EQ(table.Get(1, entry.offset).word, entry.entry.word);
      found.insert(entry.entry.word.version());
    }
    return found;
  };
  EXPECT_EQ(versions(2), (std::set<Version>{kOldest + 1, kOldest + 2}));
  // The one that was loaded before that look is cold by now.
  EXPECT_EQ(versions(2), (std::set<Version>{kOldest, kOldest + 1}));
  EXPECT_EQ(versions(5000).size(), 3000u);
  EXPECT_TRUE(versions(0).empty());
}

TEST(EntryTable, AChangeUnderWayKeepsTheClusterUntilItSettles) {
  EntryTable table;
  ++table.InFlightOf(1, 7).count;
  ++table.InFlightOf(1, 7).count;
  ++table.InFlightOf(1, 8).count;
  EXPECT_EQ(table.cluster_count(), 1u);
  ASSERT_NE(table.FindInFlight(1, 7), nullptr);
  EXPECT_EQ(table.FindInFlight(1, 7)->count, 2u);
  EXPECT_EQ(table.FindInFlight(1, 9), nullptr);
  table.InFlightOf(1, 8).count = 0;
  table.Settle(1, 8);
  EXPECT_EQ(table.FindInFlight(1, 8), nullptr);
  table.Publish(1, 7, Compressed(1));
  table.InFlightOf(1, 7).count = 0;
  table.Settle(1, 7);
  EXPECT_EQ(table.cluster_count(), 1u);
  table.Publish(1, 7, {});
  EXPECT_EQ(table.cluster_count(), 0u);
}

TEST(EntryTable, ANoneWordWithAVersionHoldsItsClusterUntilPurged) {
  EntryTable table;
  table.Publish(1, 7, {Word(Backing::kNone, 0, 9), {}});
  EXPECT_EQ(table.cluster_count(), 1u);
  EXPECT_TRUE(table.counts().empty());
  table.Publish(1, 7, {});
  EXPECT_EQ(table.cluster_count(), 0u);
}

TEST(EntryTable, ForEachVisitsWhatIsHeldOrUnderWayWithinTheExtent) {
  EntryTable table;
  for (const Offset offset :
       {Offset{3}, Offset{510}, Offset{512}, Offset{2000}, kSpacePagesMax - 1}) {
    table.Publish(1, offset, Compressed(offset + 1));
  }
  table.Publish(2, 511, Compressed(1));
  ++table.InFlightOf(1, 511).count;
  std::vector<Offset> visited;
  table.ForEach(1, {4, 1997}, [&](Offset offset, const Entry&) { visited.push_back(offset); });
  EXPECT_EQ(visited, (std::vector<Offset>{510, 511, 512, 2000}));
  size_t all = 0;
  table.ForEach([&](SpaceId, Offset, const Entry&) { ++all; });
  EXPECT_EQ(all, 6u);
}

TEST(EntryTable, CountsFollowRandomChanges) {
  EntryTable table;
  SeededRandom random(11);
  std::map<Offset, Entry> model;
  for (Version version = 1; version <= 20000; ++version) {
    const Offset offset = random.Below(3000);
    const auto kind = static_cast<Backing>(random.Below(5));
    Entry entry{Word(kind, 1, version), Companion::Stored(static_cast<uint32_t>(version % 4000))};
    if (kind == Backing::kNone) {
      entry = {};
    }
    const Entry old = table.Publish(1, offset, entry);
    EXPECT_EQ(old.word, model[offset].word);
    model[offset] = entry;
  }
  SpaceCounts counts;
  for (const auto& [offset, entry] : model) {
    EXPECT_EQ(table.Get(1, offset).word, entry.word);
    const Backing kind = entry.word.kind();
    counts.zero_pages += kind == Backing::kZero;
    counts.compressed_pages += kind == Backing::kCompressed;
    counts.physical_pages += kind == Backing::kPhysical;
    counts.lost_pages += kind == Backing::kLost;
    const uint64_t bytes = entry.companion.stored_bytes();
    counts.compressed_bytes += kind == Backing::kCompressed ? bytes : 0;
    counts.physical_bytes += kind == Backing::kPhysical ? bytes : 0;
  }
  EXPECT_EQ(table.counts().at(1), counts);
  for (const auto& [offset, entry] : model) {
    table.Publish(1, offset, {});
  }
  EXPECT_EQ(table.cluster_count(), 0u);
  EXPECT_TRUE(table.counts().empty());
}

TEST(EntryTable, AFullClusterCostsAtMost16BytesASlotAndFreeingGivesItBack) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers take memory of their own";
#endif
  constexpr Offset kSlots = 1 << 20;
  EntryTable table;
  const auto before = static_cast<double>(OwnUsage().resident_bytes);
  for (Offset offset = 0; offset < kSlots; ++offset) {
    table.Publish(1, offset, Compressed(offset + 1));
  }
  const double full = static_cast<double>(OwnUsage().resident_bytes) - before;
  const double per_slot = full / static_cast<double>(kSlots);
  std::printf("bytes per live slot at full clusters: %.2f\n", per_slot);
  EXPECT_GE(per_slot, 11.5) << "the memory was not seen";
  EXPECT_LE(per_slot, 16.0);
  for (Offset offset = 0; offset < kSlots; ++offset) {
    table.Publish(1, offset, {});
  }
  EXPECT_EQ(table.cluster_count(), 0u);
  EXPECT_LT(static_cast<double>(OwnUsage().resident_bytes) - before, 0.1 * full);
}

TEST(EntryTable, OneSlotOfEachClusterOverAWholeSpaceWorks) {
  EntryTable table;
  constexpr Offset kStep = kSpacePagesMax / 4096;
  for (Offset offset = 0; offset < kSpacePagesMax; offset += kStep) {
    table.Publish(1, offset, Compressed(offset + 1));
  }
  EXPECT_EQ(table.cluster_count(), 4096u);
  EXPECT_EQ(table.Get(1, kSpacePagesMax - kStep).word.version(), kSpacePagesMax - kStep + 1);
}

}  // namespace
}  // namespace vswap
