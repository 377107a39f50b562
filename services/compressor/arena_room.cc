#include "services/compressor/arena_room.h"

#include <algorithm>

namespace vswap {
namespace {

uint64_t ChunksFor(uint64_t wanted_items, uint64_t free_items, uint64_t items_per_chunk) {
  return wanted_items <= free_items
             ? 0
             : (wanted_items - free_items + items_per_chunk - 1) / items_per_chunk;
}

// Free items in chunks that are not empty: empty ones can be given back for the other kind.
uint64_t PartlyFree(const ChunkPool& pool) {
  return pool.free_items() - pool.empty_chunks() * pool.items_per_chunk();
}

}  // namespace

uint64_t ArenaRoom::UsedBytes(const ChunkPool& blocks, const ChunkPool& slots) const {
  return fixed_bytes + blocks.chunks() * slab_bytes + slots.chunks() * hunk_bytes;
}

uint64_t ArenaRoom::OccupiedBytes(const ChunkPool& blocks, const ChunkPool& slots) const {
  const uint64_t held = fixed_bytes + (blocks.chunks() - blocks.empty_chunks()) * slab_bytes +
                        (slots.chunks() - slots.empty_chunks()) * hunk_bytes;
  const uint64_t growth = held < limit_bytes ? limit_bytes - held : 0;
  if (PartlyFree(slots) <= reserve_slots && growth < hunk_bytes) {
    return limit_bytes;
  }
  const uint64_t free_blocks = growth / slab_bytes * blocks.items_per_chunk() + PartlyFree(blocks);
  const uint64_t ordinary = free_blocks - std::min(free_blocks, reserve_blocks);
  return limit_bytes - std::min(limit_bytes, ordinary * slab_bytes / blocks.items_per_chunk());
}

bool ArenaRoom::Admits(const ChunkPool& blocks, const ChunkPool& slots, uint32_t needed_blocks,
                       uint32_t replaced_blocks) const {
  if (replaced_blocks >= needed_blocks) {
    // Within memory that is there, also where the limit has since been lowered.
    return (blocks.free_items() >= needed_blocks && slots.free_items() >= 1) ||
           CanHaveFree(blocks, slots, needed_blocks, 1);
  }
  const uint64_t kept_blocks = reserve_blocks - std::min<uint64_t>(reserve_blocks, replaced_blocks);
  const uint64_t kept_slots = reserve_slots - (replaced_blocks > 0 && reserve_slots > 0 ? 1 : 0);
  return CanHaveFree(blocks, slots, needed_blocks + kept_blocks, 1 + kept_slots);
}

bool ArenaRoom::CanHaveFree(const ChunkPool& blocks, const ChunkPool& slots, uint64_t free_blocks,
                            uint64_t free_slots) const {
  const uint64_t slabs = blocks.chunks() - blocks.empty_chunks() +
                         ChunksFor(free_blocks, PartlyFree(blocks), blocks.items_per_chunk());
  const uint64_t hunks = slots.chunks() - slots.empty_chunks() +
                         ChunksFor(free_slots, PartlyFree(slots), slots.items_per_chunk());
  return fixed_bytes + slabs * slab_bytes + hunks * hunk_bytes <= limit_bytes;
}

}  // namespace vswap
