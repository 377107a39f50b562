#pragma once

#include <string>

#include "services/common/thread_pool.h"
#include "tests/chaos/known_pages.h"

namespace vswap {

// Flips bits in what a dead process left. Both say in how many records.

// Of each third page or so in a compressor's file: in its bytes, or in its header.
int DamageArena(const std::string& arena, SeededRandom& random);
// Of each known page of noise that lies in RocksDB's files of a store. Its log of writes is left
// alone: that it is damaged is told at the start.
int DamageStore(const std::string& data_dir, const KnownPages& pages, Extent slots);

}  // namespace vswap
