#pragma once

#include <string>

#include "services/common/thread_pool.h"
#include "tests/chaos/known_pages.h"

namespace vswap {

// Damages what a dead process left, mostly by flipped bits. Each says in how many places.

// Of each third page or so in a compressor's file: in its bytes, or in its header.
int DamageArena(const std::string& arena, SeededRandom& random);
// Of each known page of noise that lies in RocksDB's files of a store. Its log of writes is left
// alone: that it is damaged is told at the start.
int DamageStore(const std::string& data_dir, const KnownPages& pages, Extent slots);
// In a store's table log, of each file that has some of it.
int DamageTableLog(const std::string& data_dir, SeededRandom& random);
// In the middle of a store's log of writes.
int DamageWrites(const std::string& data_dir, SeededRandom& random);
// Cuts off the end of a store's log of writes: a record or a part of it, or some.
int CutWrites(const std::string& data_dir, SeededRandom& random);

}  // namespace vswap
