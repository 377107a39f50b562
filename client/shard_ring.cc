#include "client/shard_ring.h"

namespace vswap::client {

ShardRing::ShardRing(SpaceId space, Token token, uint64_t space_pages, uint32_t shard_count) {
  std::vector<bool> seen(shard_count);
  const uint64_t stripes = (space_pages + kStripePages - 1) / kStripePages;
  // Of a large space the first n ln n stripes or so have all n shards.
  for (uint64_t i = 0; i < stripes && shards_.size() < shard_count; ++i) {
    const ShardId shard = ShardOf(space, i * kStripePages, shard_count);
    if (!seen[shard]) {
      seen[shard] = true;
      shards_.push_back(shard);
    }
  }
  for (auto& current : current_) {
    current = Mix64(Mix64(space) + token) % shards_.size();
  }
}

}  // namespace vswap::client
