#include "services/frontend/slab_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <set>
#include <vector>

namespace vswap {
namespace {

constexpr size_t kBlockBytes = 6160;

std::vector<void*> TakeMany(SlabPool& pool, size_t count) {
  std::vector<void*> blocks;
  for (size_t i = 0; i < count; ++i) {
    blocks.push_back(pool.Take());
    std::memset(blocks.back(), static_cast<int>(i), kBlockBytes);
  }
  return blocks;
}

TEST(SlabPool, BlocksAreAlignedAndDoNotOverlap) {
  SlabPool pool(kBlockBytes);
  const std::vector<void*> blocks = TakeMany(pool, 1000);
  const std::set<void*> sorted(blocks.begin(), blocks.end());
  ASSERT_EQ(sorted.size(), blocks.size());
  const std::byte* end = nullptr;
  for (void* block : sorted) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 16, 0u);
    EXPECT_GE(static_cast<std::byte*>(block), end);
    end = static_cast<std::byte*>(block) + kBlockBytes;
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_EQ(*static_cast<unsigned char*>(blocks[i]), i % 256);
    pool.GiveBack(blocks[i]);
  }
}

TEST(SlabPool, WastesLittle) {
  SlabPool pool(kBlockBytes);
  const std::vector<void*> blocks = TakeMany(pool, 10000);
  EXPECT_LT(static_cast<double>(pool.slab_count() * SlabPool::kSlabBytes),
            1.02 * 10000 * kBlockBytes);
  for (void* block : blocks) {
    pool.GiveBack(block);
  }
}

TEST(SlabPool, EmptySlabsGoBackAndWithTheLastBlockAll) {
  SlabPool pool(kBlockBytes);
  std::vector<void*> blocks = TakeMany(pool, 10010);
  std::shuffle(blocks.begin() + 1, blocks.end(), std::mt19937(1));
  for (size_t i = 1; i < blocks.size(); ++i) {
    pool.GiveBack(blocks[i]);
  }
  EXPECT_LE(pool.slab_count(), 2u);
  pool.GiveBack(blocks[0]);
  EXPECT_EQ(pool.slab_count(), 0u);
}

TEST(SlabPool, ABlockThatComesAndGoesKeepsItsSlab) {
  SlabPool pool(kBlockBytes);
  const size_t a_slab = (SlabPool::kSlabBytes - 64) / kBlockBytes;
  std::vector<void*> blocks = TakeMany(pool, a_slab);
  ASSERT_EQ(pool.slab_count(), 1u);
  void* first = pool.Take();
  pool.GiveBack(first);
  EXPECT_EQ(pool.slab_count(), 2u);
  EXPECT_EQ(pool.Take(), first);
  EXPECT_EQ(pool.slab_count(), 2u);
  pool.GiveBack(first);
  for (void* block : blocks) {
    pool.GiveBack(block);
  }
  EXPECT_EQ(pool.slab_count(), 1u) << "the one of which a single block was taken";
}

TEST(SlabPool, ALoneBlockThatComesAndGoesKeepsItsSlab) {
  SlabPool pool(kBlockBytes);
  void* first = pool.Take();
  pool.GiveBack(first);
  EXPECT_EQ(pool.slab_count(), 1u);
  EXPECT_EQ(pool.Take(), first);
  pool.GiveBack(first);
}

TEST(SlabPool, GivenBackBlocksAreTakenBeforeNewSlabs) {
  SlabPool pool(kBlockBytes);
  std::vector<void*> blocks = TakeMany(pool, 1000);
  const size_t slabs = pool.slab_count();
  std::shuffle(blocks.begin(), blocks.end(), std::mt19937(2));
  for (size_t round = 0; round < 10; ++round) {
    for (size_t i = 0; i < 500; ++i) {
      pool.GiveBack(blocks[i]);
    }
    for (size_t i = 0; i < 500; ++i) {
      blocks[i] = pool.Take();
    }
    EXPECT_LE(pool.slab_count(), slabs);
  }
  for (void* block : blocks) {
    pool.GiveBack(block);
  }
}

}  // namespace
}  // namespace vswap
