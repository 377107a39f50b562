#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "services/common/executor.h"
#include "services/common/ids.h"
#include "services/common/mutex.h"
#include "services/common/page.h"
#include "services/common/status.h"
#include "services/compressor/arena_file.h"
#include "services/compressor/arena_recovery.h"
#include "services/compressor/arena_room.h"
#include "services/compressor/chunk_pool.h"
#include "services/compressor/slot_table.h"

namespace vswap {

struct SlabArenaOptions {
  std::string path;  // on tmpfs; see DefaultArenaPath
  uint64_t data_dir_id = 0;
  std::string data_dir_path;
  // 256 KiB..1 TiB, all overhead included; less where the file system is smaller.
  uint64_t memory_max_bytes = 0;
  uint32_t slab_bytes = 1024 * 1024;  // 16 KiB..64 MiB, a power of two; part of the file's layout
  bool allow_swappable = false;       // go on where the memory may be swapped out or is on a disk
  std::string swaps_path = "/proc/swaps";
};

// What is kept with a page's bytes.
struct ArenaRecord {
  PageName name;
  Stamp stamp;
  uint32_t page_checksum = 0;
  uint32_t record_checksum = 0;
  Encoding encoding = Encoding::kUnset;
  uint16_t stored_bytes = 0;
};

struct ArenaStatistics {
  uint64_t pages = 0;
  uint64_t payload_bytes = 0;
  uint64_t used_bytes = 0;      // slabs, hunks and index
  uint64_t capacity_bytes = 0;  // the limit that holds
  uint64_t occupied_bytes = 0;  // what ordinary puts cannot have
};

// Records in memory that outlives the process: blocks of 256 bytes in a sparse file on tmpfs, each
// record with a header that says where it lies (README.md draws it). A page may lie in any free
// blocks, so room is never lost between pages, at the price of half a block a page.
//
// Bad at: emptying slabs while few pages of each are left, as nothing is moved; recovery time grows
// with the headers held (and with damage). Records are not verified here: readers do.
//
// Thread-safe. Two locks, always in this order: `grow_mutex_` for making and giving back chunks,
// `mutex_`, a leaf, for tables; only copies of at most a page are made under it. Checksums and
// writing a payload happen under neither.
//
// Invariants: a block belongs to one record or is free. Free blocks hold zeros. Used bytes never
// grow beyond the limit, and a refusal is decided only while no chunk comes or goes.
// Failure: where the file system has no memory although the limit allows it, pages are refused.
// After kill -9, whatever was answered is found by Open; a put under way is either kept or wiped.
class SlabArena {
 public:
  static StatusOr<std::unique_ptr<SlabArena>> Open(const SlabArenaOptions& options, Random& random);

  struct Put {
    ArenaRecord record;
    ByteView bytes;               // 1..4096, record.stored_bytes
    uint32_t replaces_bytes = 0;  // see PutPage
    // Set by whoever deleted the name meanwhile: then nothing is kept. Null: nobody can.
    const std::atomic<bool>* withdrawn = nullptr;
  };
  // Keeps a record. A name that is held already keeps its bytes. The stored bytes of the record
  // that is now held; nothing where there was no room.
  std::optional<uint16_t> Keep(const Put& put);
  // Appends a copy of a record's bytes, not verified. Nothing where the name is not held.
  std::optional<ArenaRecord> CopyTo(const PageName& name, std::vector<std::byte>& payload);
  // Removes records and wipes their bytes. Names not held are skipped.
  void Delete(std::span<const PageName> names);
  // Names in the order of slots from `slot` on, up to `limit`; the slot to go on from, or nothing
  // at the end. A record never changes its slot, so one that is there all the while is listed.
  std::optional<uint32_t> List(uint32_t slot, uint32_t limit, std::vector<PageName>& names);

  ArenaStatistics Statistics() const;
  Incarnation incarnation() const { return file_->incarnation(); }
  const ArenaRecovery& recovery() const { return recovery_; }
  // Whether the kernel keeps the pages out of swap.
  bool locked() const { return file_->locked(); }
  // Removes the file, for a stop after which nothing is needed. The arena is not used any more.
  Status Destroy() { return file_->Destroy(); }

 private:
  // A slot and blocks that are taken.
  struct Claim {
    uint32_t slot = 0;
    uint32_t block_count = 0;
    uint32_t blocks[arena::kPageBlocksMax];
  };
  // One change of a pool's chunks.
  struct Step {
    bool add = false;
    bool slabs = false;
    uint32_t chunk = 0;
  };

  SlabArena(const SlabArenaOptions& options, std::unique_ptr<ArenaFile> file);

  std::optional<uint16_t> FindHeld(const PageName& name);
  bool Reserve(uint32_t block_count, uint32_t replaced_blocks, Claim* claim);
  bool TryTake(uint32_t block_count, uint32_t replaced_blocks, Claim* claim) REQUIRES(mutex_);
  std::optional<Step> NextStep() REQUIRES(mutex_);
  bool Perform(const Step& step) REQUIRES(grow_mutex_);
  void WriteUnpublished(const Put& put, const Claim& claim);
  Claim ClaimOf(uint32_t slot) const REQUIRES(mutex_);
  void Wipe(const Claim& claim);
  void GiveBack(std::span<const Claim> claims);
  // Gives empty chunks back, but for one of each kind while there are pages: a page that comes and
  // goes must not make and unmake a slab each time.
  void Trim();
  std::optional<Step> NextTrim() REQUIRES(mutex_);

  const std::unique_ptr<ArenaFile> file_;
  const ArenaRoom room_;
  ArenaRecovery recovery_;
  Mutex grow_mutex_;
  mutable Mutex mutex_;
  ChunkPool blocks_ GUARDED_BY(mutex_);  // links: the next block of a record
  SlotTable slots_ GUARDED_BY(mutex_);
};

}  // namespace vswap
