#pragma once

#include <array>
#include <atomic>
#include <vector>

#include "services/common/ids.h"
#include "services/common/page.h"

namespace vswap::client {

// The shards that own a part of a space, each once, and for each order the one that a client
// allocates from: it stays there as long as there is room, so that what is allocated one after the
// other lies together. Clients begin at different shards. Thread-safe.
class ShardRing {
 public:
  ShardRing(SpaceId space, Token token, uint64_t space_pages, uint32_t shard_count);

  size_t shards() const { return shards_.size(); }
  // The shard at a place; places go on behind the last one from the first again.
  ShardId At(size_t place) const { return shards_[place % shards_.size()]; }
  size_t Current(uint32_t order) const { return current_[order]; }
  void StayAt(uint32_t order, size_t place) { current_[order] = place % shards_.size(); }

 private:
  std::vector<ShardId> shards_;
  std::array<std::atomic<size_t>, kOrderMax + 1> current_;
};

}  // namespace vswap::client
