#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "services/common/executor.h"
#include "services/common/status.h"
#include "services/compressor/arena_format.h"

namespace vswap {

struct ArenaFileOptions {
  std::string path;
  uint64_t data_dir_id = 0;
  std::string data_dir_path;
  uint32_t slab_bytes = 0;
  uint32_t hunk_bytes = 0;
  // Of memory that can neither be locked nor is safe from swap: take it nevertheless.
  bool allow_swappable = false;
  std::string swaps_path = "/proc/swaps";
};

// The sparse file behind an arena: its lock, superblock, mappings and the chunks of memory in it.
// What the chunks hold is the arena's business.
//
// Locked for its life (flock), so that one process uses it. Where Open fails the file is as it was,
// and one that a failed start has made goes again, until Keep.
//
// Thread-safe once mapped; chunks are allocated and released by one thread at a time.
class ArenaFile {
 public:
  // A region of equal chunks.
  struct Region {
    uint64_t begin = 0;  // in the file
    uint64_t chunk_bytes = 0;
    uint32_t chunks_max = 0;  // mapped
    std::byte* base = nullptr;
  };

  // Opens or makes the file and takes its lock. FAILED_PRECONDITION: not an arena, of another
  // format, layout or data directory, or on a disk. UNAVAILABLE: in use. DATA_LOSS: damaged
  // superblock.
  static StatusOr<std::unique_ptr<ArenaFile>> Open(const ArenaFileOptions& options, Random& random);
  ~ArenaFile();
  ArenaFile(const ArenaFile&) = delete;
  ArenaFile& operator=(const ArenaFile&) = delete;

  // Maps so many chunks or, where the file holds more already, those. Locks them into memory.
  // FAILED_PRECONDITION: longer than any arena.
  Status Map(uint32_t hunks, uint32_t slabs);
  // The file stays when this object goes (until then: only if it was there before).
  void Keep() { keep_ = true; }
  // Removes the file. Its memory is given back when this object goes.
  Status Destroy();

  // Gives a chunk memory. False where the file system or a cgroup has none.
  [[nodiscard]] bool Allocate(const Region& region, uint32_t chunk);
  // Takes the memory of chunks away; it reads as zeros then.
  [[nodiscard]] bool Release(const Region& region, uint32_t chunk, uint32_t count = 1);
  // How large the file system can get at most, other files included.
  StatusOr<uint64_t> FileSystemBytes() const;
  // Hunks that may hold headers, in order.
  StatusOr<std::vector<uint32_t>> WrittenHunks() const;

  arena::RecordHeader* header(uint32_t slot) const {
    return reinterpret_cast<arena::RecordHeader*>(headers_.base) + slot;
  }
  std::byte* block(uint32_t number) const {
    return blocks_.base + uint64_t{number} * arena::kBlockBytes;
  }
  const Region& headers() const { return headers_; }
  const Region& blocks() const { return blocks_; }
  uint64_t incarnation() const { return incarnation_; }
  // Whether the kernel keeps the arena out of swap.
  bool locked() const { return locked_; }

 private:
  explicit ArenaFile(const ArenaFileOptions& options) : options_(options) {}
  Status OpenAndLock();
  Status CheckFile() const;
  Status CheckSuperblock(const arena::Superblock& superblock) const;
  Status Format(Random& random);
  Status WriteSuperblock(uint64_t incarnation) const;
  Status MapRegion(Region& region);
  Status LockMemory();

  const ArenaFileOptions options_;
  int fd_ = -1;
  bool keep_ = false;
  bool locked_ = false;
  uint64_t incarnation_ = 0;
  Region headers_;
  Region blocks_;
};

// /dev/shm/vswap-ID
std::string DefaultArenaPath(uint64_t data_dir_id);

// Removes the arenas in `directory` that nobody uses, are this user's, and whose data directory is
// gone or has another id; never one of the directory `own_id`, which may just have been moved.
// Answers their paths. What it cannot judge stays.
StatusOr<std::vector<std::string>> ReclaimAbandoned(const std::string& directory, uint64_t own_id);

}  // namespace vswap
