#pragma once

#include <cstdint>

#include "services/common/status.h"
#include "services/compressor/arena_file.h"
#include "services/compressor/chunk_pool.h"
#include "services/compressor/slot_table.h"

namespace vswap {

// What was found in an arena's file.
struct ArenaRecovery {
  uint64_t pages = 0;
  uint64_t unfinished = 0;   // puts and deletes that were under way: wiped
  uint64_t damaged = 0;      // headers that do not verify: dropped
  uint64_t conflicting = 0;  // headers that claim another record's block or name: dropped
};

// Fills the empty tables from the headers in a mapped file. Payload is read only where two headers
// claim one block or name: the record that verifies stays. Wipes what unfinished calls left, and
// gives back memory that holds nothing. Fails only where the system does.
StatusOr<ArenaRecovery> RecoverArena(ArenaFile& file, ChunkPool& blocks, SlotTable& slots);

}  // namespace vswap
