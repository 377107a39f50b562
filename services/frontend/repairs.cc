#include "services/frontend/repairs.h"

#include <utility>

namespace vswap {

bool Repairs::Add(ShardId shard, SpaceId space, Offset offset, const Page& page) {
  MutexLock lock(mutex_);
  if (waiting_ + taken_ >= kPagesMax) {
    return false;
  }
  Keep(shard, {space, offset}, page);
  return true;
}

void Repairs::Keep(ShardId shard, const std::pair<SpaceId, Offset>& slot, const Page& page) {
  const auto [it, added] = pages_[shard].try_emplace(slot, page);
  if (!added && it->second.entry.word.version() < page.entry.word.version()) {
    it->second = page;
  }
  waiting_ += added ? 1 : 0;
}

Repairs::ByShard Repairs::Take() {
  MutexLock lock(mutex_);
  taken_ += std::exchange(waiting_, 0);
  return std::exchange(pages_, {});
}

void Repairs::GiveBack(const ByShard& rest) {
  MutexLock lock(mutex_);
  taken_ = 0;
  for (const auto& [shard, pages] : rest) {
    for (const auto& [slot, page] : pages) {
      if (page.tries >= kTriesMax) {
        ++given_up_;
      } else {
        Keep(shard, slot, page);
      }
    }
  }
}

size_t Repairs::waiting() const {
  MutexLock lock(mutex_);
  return waiting_ + taken_;
}

uint64_t Repairs::given_up() const {
  MutexLock lock(mutex_);
  return given_up_;
}

}  // namespace vswap
