#include "client/batcher.h"

#include <gtest/gtest.h>

#include "services/common/thread_pool.h"

namespace vswap::client {
namespace {

constexpr SpaceId kSpace = 7;
constexpr uint32_t kShards = 64;

struct Batch {
  ShardId shard = 0;
  std::vector<Piece> pieces;
  uint32_t pages = 0;
};

// All batches; each request is room for the next one once it was looked at.
std::vector<Batch> CutAll(uint32_t shards, const Batcher::Limits& limits,
                          const std::vector<PageRange>& ranges, size_t requests = 16) {
  RequestPool pool(requests);
  std::vector<Batch> batches;
  Batcher batcher(kSpace, shards, limits, ranges, pool);
  while (Request* request = batcher.Next()) {
    batches.push_back(
        {request->shard, {request->pieces.begin(), request->pieces.end()}, request->pages});
    batcher.AddRoom(*request);
  }
  EXPECT_TRUE(batcher.done());
  return batches;
}

// Two stripes of different shards, in this order.
std::pair<Offset, Offset> TwoShards() {
  const Offset first = 0;
  Offset second = kStripePages;
  while (ShardOf(kSpace, second, kShards) == ShardOf(kSpace, first, kShards)) {
    second += kStripePages;
  }
  return {first, second};
}

TEST(Batcher, AShortRangeIsOneBatch) {
  const auto batches = CutAll(kShards, {}, {{100, 8}});
  ASSERT_EQ(batches.size(), 1u);
  ASSERT_EQ(batches[0].pieces.size(), 1u);
  EXPECT_EQ(batches[0].pieces[0].extent, (Extent{100, 8}));
  EXPECT_EQ(batches[0].pieces[0].page, 0u);
  EXPECT_EQ(batches[0].shard, ShardOf(kSpace, 100, kShards));
}

TEST(Batcher, ALongRangeIsCutAtTheLimitAndAtStripes) {
  const Offset begin = kStripePages - 600;
  const auto batches = CutAll(kShards, {}, {{begin, 700}});
  uint64_t pages = 0;
  for (const Batch& batch : batches) {
    EXPECT_LE(batch.pages, kBatchPagesMax);
    for (const Piece& piece : batch.pieces) {
      EXPECT_EQ(piece.extent.offset, begin + piece.page);
      EXPECT_EQ(ShardOf(kSpace, piece.extent.offset, kShards), batch.shard);
      EXPECT_EQ(ShardOf(kSpace, piece.extent.offset + piece.extent.pages - 1, kShards),
                batch.shard);
    }
    pages += batch.pages;
  }
  EXPECT_EQ(pages, 700u);
  EXPECT_EQ(batches.size(), 3u);  // 512 and 88 before the stripe's end, 100 after it
}

TEST(Batcher, ScatteredPagesOfAShardShareABatch) {
  const auto [a, b] = TwoShards();
  const auto batches = CutAll(kShards, {}, {{a, 1}, {b, 1}, {a + 9, 1}, {b + 9, 1}, {a + 10, 2}});
  ASSERT_EQ(batches.size(), 2u);
  for (const Batch& batch : batches) {
    const bool first = batch.shard == ShardOf(kSpace, a, kShards);
    EXPECT_EQ(batch.pieces.size(), first ? 3u : 2u);
    EXPECT_EQ(batch.pages, first ? 4u : 2u);
  }
}

TEST(Batcher, NeighboursThatFollowEachOtherBecomeOneExtent) {
  const auto batches = CutAll(kShards, {}, {{5, 1}, {6, 1}, {7, 2}});
  ASSERT_EQ(batches.size(), 1u);
  ASSERT_EQ(batches[0].pieces.size(), 1u);
  EXPECT_EQ(batches[0].pieces[0].extent, (Extent{5, 4}));
}

TEST(Batcher, NeverMorePiecesThanAllowed) {
  std::vector<PageRange> ranges;
  for (Offset i = 0; i < 1000; ++i) {
    ranges.push_back({2 * i, 1});
  }
  for (const Batch& batch : CutAll(kShards, {kStripePages, 256}, ranges)) {
    EXPECT_LE(batch.pieces.size(), 256u);
  }
  for (const Batch& batch : CutAll(kShards, {kStripePages, 1}, ranges)) {
    EXPECT_EQ(batch.pieces.size(), 1u);
  }
}

TEST(Batcher, AWholeSpaceBeginsAtOnce) {
  const std::vector<PageRange> whole = {{0, kSpacePagesMax}};
  RequestPool pool(4);
  Batcher batcher(kSpace, kShards, {kStripePages, 256}, whole, pool);
  for (int i = 0; i < 100; ++i) {
    Request* const batch = batcher.Next();
    ASSERT_NE(batch, nullptr);
    EXPECT_EQ(batch->pages, kStripePages);
    batcher.AddRoom(*batch);
  }
}

TEST(Batcher, WithoutRoomItGoesOnWhenThereIsSome) {
  const std::vector<PageRange> ranges = {{0, 1100}};
  RequestPool pool(1);
  Batcher batcher(kSpace, kShards, {}, ranges, pool);
  Request* const first = batcher.Next();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(batcher.Next(), nullptr);
  EXPECT_FALSE(batcher.done());
  batcher.AddRoom(*first);
  Request* const second = batcher.Next();
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->pieces.front(), (Piece{{512, 512}, 512}));
  batcher.AddRoom(*second);
  EXPECT_EQ(batcher.Next()->pages, 76u);
  EXPECT_EQ(batcher.Next(), nullptr);
  EXPECT_TRUE(batcher.done());
  batcher.AddRoom(*second);
  EXPECT_NE(pool.TryTake(), nullptr);  // it went back at once
  pool.PutBack(*second);
}

TEST(Batcher, RandomRangesAreCoveredExactlyOnce) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    std::vector<PageRange> ranges;
    Offset offset = random.Below(2 * kStripePages);
    uint64_t total = 0;
    for (uint64_t i = 0; i < 1 + random.Below(20); ++i) {
      const PageRange range{offset, 1 + random.Below(random.Below(2) == 0 ? 4 : 70000)};
      ranges.push_back(range);
      offset += range.pages + random.Below(3);
      total += range.pages;
    }
    std::vector<Offset> expected;
    for (const PageRange& range : ranges) {
      for (uint64_t i = 0; i < range.pages; ++i) {
        expected.push_back(range.offset + i);
      }
    }
    std::vector<Offset> covered(total, ~Offset{0});
    for (const Batch& batch : CutAll(seed % 2 == 0 ? 3 : 64, {}, ranges, 1 + seed % 12)) {
      EXPECT_LE(batch.pages, kBatchPagesMax);
      for (const Piece& piece : batch.pieces) {
        for (uint32_t i = 0; i < piece.extent.pages; ++i) {
          ASSERT_EQ(covered[piece.page + i], ~Offset{0});
          covered[piece.page + i] = piece.extent.offset + i;
          ASSERT_EQ(ShardOf(kSpace, piece.extent.offset + i, seed % 2 == 0 ? 3 : 64), batch.shard);
        }
      }
    }
    ASSERT_EQ(covered, expected);
  }
}

Status Validated(const std::vector<PageRange>& ranges, uint64_t space_pages, bool distinct) {
  return ValidateRanges(ranges, space_pages, distinct);
}

TEST(ValidateRanges, NamesFieldAndRange) {
  EXPECT_TRUE(Validated({{0, 10}}, 10, true).ok());
  EXPECT_EQ(MessageOf(Validated({}, 10, true)), "ranges is 0 long, allowed: at least 1");
  EXPECT_EQ(MessageOf(Validated({{10, 1}}, 10, true)), "offset is 10, allowed: 0..9");
  EXPECT_EQ(MessageOf(Validated({{3, 0}}, 10, true)), "pages is 0, allowed: 1..7 at offset 3");
  EXPECT_EQ(MessageOf(Validated({{3, ~uint64_t{0}}}, 10, true)),
            "pages is 18446744073709551615, allowed: 1..7 at offset 3");
  EXPECT_EQ(MessageOf(Validated({{4, 2}, {0, 5}}, 10, true)),
            "ranges is slot 4 twice, allowed: each slot once");
  EXPECT_TRUE(Validated({{4, 2}, {0, 5}}, 10, false).ok());
}

}  // namespace
}  // namespace vswap::client
