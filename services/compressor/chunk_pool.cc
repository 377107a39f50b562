#include "services/compressor/chunk_pool.h"

#include <utility>

namespace vswap {

std::optional<uint32_t> ChunkPool::LowestAbsent() const {
  if (!absent_.empty()) {
    return *absent_.begin();
  }
  if (chunks_.size() < chunks_max_) {
    return static_cast<uint32_t>(chunks_.size());
  }
  return std::nullopt;
}

void ChunkPool::Add(uint32_t chunk, const std::function<bool(uint32_t item)>& taken) {
  while (chunks_.size() <= chunk) {
    absent_.insert(static_cast<uint32_t>(chunks_.size()));
    chunks_.emplace_back();
  }
  absent_.erase(chunk);
  Chunk fresh{std::make_unique<uint32_t[]>(items_per_chunk_), items_per_chunk_, 0};
  for (uint32_t i = items_per_chunk_; i-- > 0;) {
    if (!taken || !taken(chunk * items_per_chunk_ + i)) {
      fresh.links[i] = std::exchange(fresh.first_free, i);
      ++fresh.free;
    }
  }
  ++chunk_count_;
  free_items_ += fresh.free;
  if (fresh.free > 0) {
    with_free_.insert(chunk);
  }
  if (fresh.free == items_per_chunk_) {
    empty_.insert(chunk);
  }
  chunks_[chunk] = std::move(fresh);
}

void ChunkPool::Remove(uint32_t chunk) {
  --chunk_count_;
  free_items_ -= items_per_chunk_;
  with_free_.erase(chunk);
  empty_.erase(chunk);
  absent_.insert(chunk);
  chunks_[chunk].reset();
}

std::optional<uint32_t> ChunkPool::HighestEmpty() const {
  return empty_.empty() ? std::nullopt : std::optional<uint32_t>(*empty_.rbegin());
}

uint32_t ChunkPool::Take() {
  const uint32_t number = *with_free_.begin();
  Chunk& chunk = *chunks_[number];
  if (chunk.free == items_per_chunk_) {
    empty_.erase(number);
  }
  const uint32_t item = chunk.first_free;
  chunk.first_free = chunk.links[item];
  --free_items_;
  if (--chunk.free == 0) {
    with_free_.erase(number);
  }
  return number * items_per_chunk_ + item;
}

void ChunkPool::Give(uint32_t item) {
  const uint32_t number = item / items_per_chunk_;
  Chunk& chunk = *chunks_[number];
  chunk.links[item % items_per_chunk_] = std::exchange(chunk.first_free, item % items_per_chunk_);
  ++free_items_;
  if (chunk.free++ == 0) {
    with_free_.insert(number);
  }
  if (chunk.free == items_per_chunk_) {
    empty_.insert(number);
  }
}

void ChunkPool::ForEachFree(const std::function<void(uint32_t item)>& visit) const {
  for (const uint32_t number : with_free_) {
    const Chunk& chunk = *chunks_[number];
    for (uint32_t i = chunk.first_free; i != items_per_chunk_; i = chunk.links[i]) {
      visit(number * items_per_chunk_ + i);
    }
  }
}

}  // namespace vswap
