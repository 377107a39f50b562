#pragma once

#include <cstdint>

#include "services/compressor/chunk_pool.h"

namespace vswap {

// The arena's memory limit as a rule: which puts fit.
//
// Slabs of blocks and hunks of header slots share the limit, each counted whole, with what the
// index takes for them, so what they waste counts too. The overlap reserve, so many free blocks and
// slots, is left by every put that does not replace a record. It need not exist as memory: that
// there is room under the limit to make it is enough.
//
// What it guarantees (and why): after an ordinary put the reserve R can be had. A put that replaces
// a record and needs no more blocks may use it; the record's deletion then gives back at least what
// it used. So overwriting by pages that shrink no worse is never refused while no more than R's
// pages overlap. Growth must leave R untouched once the replaced record is gone.
//
// Immutable; thread-safe.
struct ArenaRoom {
  uint64_t limit_bytes = 0;
  uint64_t fixed_bytes = 0;
  uint64_t slab_bytes = 0;  // of memory, overhead included
  uint64_t hunk_bytes = 0;  // of memory, overhead included
  uint64_t reserve_blocks = 0;
  uint64_t reserve_slots = 0;

  uint64_t UsedBytes(const ChunkPool& blocks, const ChunkPool& slots) const;
  // Of the limit, what ordinary puts cannot have: all but free blocks and whole slabs that may
  // still be made, less the reserve.
  uint64_t OccupiedBytes(const ChunkPool& blocks, const ChunkPool& slots) const;
  // Whether a page of so many blocks may be added (and one slot), which replaces one of
  // `replaced_blocks` (0: none).
  bool Admits(const ChunkPool& blocks, const ChunkPool& slots, uint32_t needed_blocks,
              uint32_t replaced_blocks) const;

 private:
  bool CanHaveFree(const ChunkPool& blocks, const ChunkPool& slots, uint64_t free_blocks,
                   uint64_t free_slots) const;
};

}  // namespace vswap
