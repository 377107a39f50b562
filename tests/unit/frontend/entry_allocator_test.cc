#include "services/frontend/entry_allocator.h"

#include <gtest/gtest.h>

#include <set>

#include "services/common/thread_pool.h"

namespace vswap {
namespace {

constexpr SpaceId kSpace = 1;

// An allocator over a table in which found runs are taken at once.
class EntryAllocatorTest : public testing::Test {
 protected:
  explicit EntryAllocatorTest(uint64_t pages = uint64_t{1} << 41, uint32_t shard_count = 1)
      : place_{kSpace, pages, 0, shard_count}, allocator_(place_, table_) {}

  std::optional<Offset> Take(uint32_t order) {
    const auto found = allocator_.Find(table_, order);
    for (Offset i = 0; found && i < Offset{1} << order; ++i) {
      table_.Publish(kSpace, *found + i,
                     {Word(Backing::kNone, 0, ++version_), Companion().WithReferences(1)});
    }
    return found;
  }
  void Give(Offset offset, uint64_t pages = 1) {
    for (Offset i = offset; i < offset + pages; ++i) {
      table_.Publish(kSpace, i, {});
      allocator_.NoteFreed(table_, i / kClusterSlots);
    }
  }

  Version version_ = 0;
  EntryTable table_;
  const EntryAllocator::Place place_;
  EntryAllocator allocator_;
};

TEST_F(EntryAllocatorTest, OneAfterTheOtherLiesTogether) {
  const Offset first = *Take(0);
  for (Offset i = 1; i < 3 * kClusterSlots; ++i) {
    ASSERT_EQ(Take(0), first + i);
  }
  EXPECT_EQ(table_.cluster_count(), 3u);
}

TEST_F(EntryAllocatorTest, EachOrderIsAlignedAndHasAClusterOfItsOwn) {
  std::set<uint64_t> clusters;
  for (uint32_t order = 0; order <= kOrderMax; ++order) {
    const auto found = Take(order);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(*found % (Offset{1} << order), 0u);
    clusters.insert(*found / kClusterSlots);
  }
  EXPECT_EQ(clusters.size(), kOrderMax + 1u);
}

TEST_F(EntryAllocatorTest, PartlyFilledClustersComeBeforeNewOnes) {
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(Take(9).has_value());
  }
  Give(100, 3);
  Give(600, 9);
  EXPECT_EQ(Take(3), 600u);  // the only aligned run of 8
  EXPECT_EQ(Take(0), 100u);
  EXPECT_EQ(Take(0), 101u);
  EXPECT_EQ(Take(0), 102u);
  EXPECT_EQ(Take(0), 4 * kClusterSlots);  // what is left at 608 is in order 3's cluster
}

TEST_F(EntryAllocatorTest, EmptiedClustersAreUsedAgainAndCostNothing) {
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(Take(9).has_value());
  }
  Give(0, 1000 * kClusterSlots);
  EXPECT_EQ(table_.cluster_count(), 0u);
  std::set<Offset> again;
  for (int i = 0; i < 1000; ++i) {
    again.insert(*Take(9));
  }
  EXPECT_EQ(again.size(), 1000u);
  EXPECT_LT(*again.rbegin(), 1001 * kClusterSlots);
}

class SmallSpace : public EntryAllocatorTest {
 protected:
  SmallSpace() : EntryAllocatorTest(700) {}
};

TEST_F(SmallSpace, IsUsedUpToItsLastSlotAndNoFurther) {
  std::set<Offset> taken;
  ASSERT_EQ(Take(9), 0u);
  EXPECT_FALSE(Take(9).has_value());
  for (auto found = Take(0); found; found = Take(0)) {
    EXPECT_LT(*found, 700u);
    EXPECT_TRUE(taken.insert(*found).second);
  }
  EXPECT_EQ(taken.size(), 700u - 512u);
  Give(*taken.begin());
  EXPECT_EQ(Take(0), *taken.begin());
}

TEST_F(SmallSpace, AnotherOrdersClusterIsTheLastResort) {
  ASSERT_EQ(Take(0), 0u);
  ASSERT_EQ(Take(7), 512u);
  EXPECT_EQ(Take(8), 256u);  // only the cluster that order 0 is filling has one
}

class SharedSpace : public EntryAllocatorTest {
 protected:
  SharedSpace() : EntryAllocatorTest(uint64_t{1} << 41, 7) {}
};

TEST_F(SharedSpace, OnlyTheShardsOwnStripesAreUsedAlsoAfterARestart) {
  for (int i = 0; i < 500; ++i) {
    const auto found = Take(9);
    ASSERT_TRUE(found.has_value());
    ASSERT_EQ(ShardOf(kSpace, *found, 7), 0u);
  }
  std::vector<Offset> freed;
  table_.ForEachCluster(kSpace, [&](uint64_t cluster) {
    if (cluster % 3 == 0) {
      freed.push_back(cluster * kClusterSlots);
    }
  });
  for (const Offset offset : freed) {
    Give(offset, kClusterSlots);
  }
  const uint64_t left = table_.cluster_count();
  EntryAllocator restarted(place_, table_);
  for (size_t i = 0; i < freed.size(); ++i) {
    const auto found = restarted.Find(table_, 9);
    ASSERT_TRUE(found.has_value());
    EXPECT_FALSE(table_.HasCluster(kSpace, *found / kClusterSlots));
    EXPECT_EQ(ShardOf(kSpace, *found, 7), 0u);
    table_.Publish(kSpace, *found, {Word(Backing::kNone, 0, ++version_), Companion()});
  }
  EXPECT_EQ(table_.cluster_count(), left + freed.size());
}

// Against a plain set of slots.
TEST_F(SmallSpace, RandomTakesAndGivesAgreeWithASet) {
  SeededRandom random(7);
  std::map<Offset, uint32_t> held;  // first slot: order
  std::vector<bool> used(700);
  for (int i = 0; i < 20000; ++i) {
    const auto order = static_cast<uint32_t>(random.Below(10));
    if (random.Below(2) == 0) {
      const auto found = Take(order);
      bool any = false;
      for (Offset at = 0; at + (Offset{1} << order) <= 700; at += Offset{1} << order) {
        any = any || std::none_of(used.begin() + static_cast<ptrdiff_t>(at),
                                  used.begin() + static_cast<ptrdiff_t>(at + (1u << order)),
                                  [](bool u) { return u; });
      }
      ASSERT_EQ(found.has_value(), any) << "order " << order << " at step " << i;
      if (found) {
        held[*found] = order;
        for (Offset at = *found; at < *found + (Offset{1} << order); ++at) {
          ASSERT_FALSE(used[at]);
          used[at] = true;
        }
      }
    } else if (!held.empty()) {
      auto it = std::next(held.begin(), static_cast<ptrdiff_t>(random.Below(held.size())));
      Give(it->first, uint64_t{1} << it->second);
      for (Offset at = it->first; at < it->first + (Offset{1} << it->second); ++at) {
        used[at] = false;
      }
      held.erase(it);
    }
  }
}

}  // namespace
}  // namespace vswap
