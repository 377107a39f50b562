#include "client/shard_ring.h"

#include <gtest/gtest.h>

#include <set>

namespace vswap::client {
namespace {

std::set<ShardId> ShardsOf(const ShardRing& ring) {
  std::set<ShardId> shards;
  for (size_t i = 0; i < ring.shards(); ++i) {
    shards.insert(ring.At(i));
  }
  return shards;
}

TEST(ShardRing, HasTheOwnersOfTheSpacesStripesEachOnce) {
  const ShardRing ring(7, 1, 5 * uint64_t{kStripePages} + 1, 64);
  std::set<ShardId> owners;
  for (Offset stripe = 0; stripe < 6; ++stripe) {
    owners.insert(ShardOf(7, stripe * kStripePages, 64));
  }
  EXPECT_EQ(ring.shards(), owners.size());
  EXPECT_EQ(ShardsOf(ring), owners);
}

TEST(ShardRing, OfTheLargestSpaceItHasAllShards) {
  EXPECT_EQ(ShardRing(7, 1, kSpacePagesMax, kShardCountMax).shards(), kShardCountMax);
}

TEST(ShardRing, OfASpaceOfOnePageItHasOne) {
  const ShardRing ring(7, 1, 1, 64);
  EXPECT_EQ(ring.shards(), 1u);
  EXPECT_EQ(ring.At(ring.Current(0) + 3), ShardOf(7, 0, 64));
}

TEST(ShardRing, ClientsBeginAtDifferentShardsAndOrdersGoOnApart) {
  std::set<size_t> starts;
  for (Token token = 1; token <= 64; ++token) {
    starts.insert(ShardRing(7, token, kSpacePagesMax, 16).Current(0));
  }
  EXPECT_GT(starts.size(), 8u);
  ShardRing ring(7, 1, kSpacePagesMax, 16);
  const size_t start = ring.Current(0);
  EXPECT_EQ(ring.Current(kOrderMax), start);
  ring.StayAt(kOrderMax, start + 17);
  EXPECT_EQ(ring.Current(kOrderMax), (start + 1) % 16);
  EXPECT_EQ(ring.Current(0), start);
}

}  // namespace
}  // namespace vswap::client
