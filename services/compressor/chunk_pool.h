#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <vector>

namespace vswap {

// Numbers of equal items (blocks, header slots) that come and go in chunks of equal length (slabs,
// hunks): which chunks there are, and which of their items are free. Knows nothing of the memory
// behind them.
//
// Items are taken from the lowest chunk that has one, so that high chunks empty. Each item has a
// link, a number: while it is free the pool chains the free items of a chunk with it, while it is
// taken it is the owner's.
//
// Bad at: emptying chunks by itself; nothing is ever moved. Externally synchronised.
class ChunkPool {
 public:
  // `overhead_bytes` of private memory an item and chunk, for whoever counts it.
  static constexpr uint32_t kItemOverheadBytes = sizeof(uint32_t);
  static constexpr uint32_t kChunkOverheadBytes = 192;  // the chunk, two nodes of sets, malloc's

  ChunkPool(uint32_t items_per_chunk, uint32_t chunks_max)
      : items_per_chunk_(items_per_chunk), chunks_max_(chunks_max) {}

  // The lowest chunk that is not there; nothing where all are.
  std::optional<uint32_t> LowestAbsent() const;
  // Adds a chunk that is not there, all of it free but for the items that `taken` tells.
  void Add(uint32_t chunk, const std::function<bool(uint32_t item)>& taken = nullptr);
  // Takes an empty chunk away.
  void Remove(uint32_t chunk);
  // An empty chunk, the highest; nothing where every chunk has taken items.
  std::optional<uint32_t> HighestEmpty() const;

  // An item; there must be a free one.
  uint32_t Take();
  void Give(uint32_t item);
  uint32_t& link(uint32_t item) {
    return chunks_[item / items_per_chunk_]->links[item % items_per_chunk_];
  }
  uint32_t link(uint32_t item) const {
    return chunks_[item / items_per_chunk_]->links[item % items_per_chunk_];
  }

  bool Has(uint32_t chunk) const { return chunk < chunks_.size() && chunks_[chunk].has_value(); }
  void ForEachFree(const std::function<void(uint32_t item)>& visit) const;
  uint64_t free_items() const { return free_items_; }
  uint64_t taken_items() const { return chunks() * items_per_chunk_ - free_items_; }
  uint64_t chunks() const { return chunk_count_; }
  uint64_t empty_chunks() const { return empty_.size(); }
  uint32_t items_per_chunk() const { return items_per_chunk_; }
  // One more than the highest chunk ever added.
  uint32_t chunks_end() const { return static_cast<uint32_t>(chunks_.size()); }

 private:
  struct Chunk {
    std::unique_ptr<uint32_t[]> links;
    uint32_t first_free = 0;  // within the chunk; items_per_chunk: none
    uint32_t free = 0;
  };

  const uint32_t items_per_chunk_;
  const uint32_t chunks_max_;
  std::vector<std::optional<Chunk>> chunks_;
  std::set<uint32_t> absent_;     // below chunks_.size()
  std::set<uint32_t> with_free_;  // chunks that have a free item
  std::set<uint32_t> empty_;      // chunks that have nothing else
  uint64_t chunk_count_ = 0;
  uint64_t free_items_ = 0;
};

}  // namespace vswap
