#pragma once

#include <memory>
#include <string>

#include "services/common/executor.h"
#include "services/compressor/compressor_node.h"

namespace vswap {

struct CompressorOptions {
  std::string arena;                          // empty: /dev/shm/vswap-ID
  uint64_t memory_max = uint64_t{256} << 20;  // bytes
  bool allow_swappable = false;
};

// A compressor: the arena that belongs to a data directory, and the node on it. Externally
// synchronised; the executor has stopped before this ends.
class CompressorParts {
 public:
  // Also removes arenas that others left behind whose data directories are gone.
  static StatusOr<std::unique_ptr<CompressorParts>> Open(const std::string& data_dir,
                                                         const CompressorOptions& options,
                                                         Executor& executor, Random& random);

  CompressorNode& node() { return *node_; }
  Incarnation incarnation() const { return arena_->incarnation(); }
  // Removes the arena, for a stop after which nothing in it is needed.
  Status Destroy() { return arena_->Destroy(); }

 private:
  CompressorParts() = default;

  std::unique_ptr<SlabArena> arena_;
  std::unique_ptr<CompressorNode> node_;
};

}  // namespace vswap
