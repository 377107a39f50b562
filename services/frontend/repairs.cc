#include "services/frontend/repairs.h"

#include <utility>

namespace vswap {

bool Repairs::Add(ShardId shard, SpaceId space, Offset offset, const Page& page) {
  MutexLock lock(mutex_);
  if (page.tries >= kTriesMax) {
    ++given_up_;
    return true;
  }
  if (waiting_ + taken_ >= kPagesMax) {
    return false;
  }
  waiting_ += pages_[shard].insert_or_assign({space, offset}, page).second ? 1 : 0;
  return true;
}

Repairs::ByShard Repairs::Take() {
  MutexLock lock(mutex_);
  taken_ += std::exchange(waiting_, 0);
  return std::exchange(pages_, {});
}

void Repairs::Done() {
  MutexLock lock(mutex_);
  taken_ = 0;
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
