#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "services/common/ids.h"
#include "services/compressor/chunk_pool.h"

namespace vswap {

// The arena's index: which header slot holds which record. A fixed array of buckets, chained
// through the links of the slots' pool.
//
// It lies in private memory and is believed before the file: damage to a header in the file can
// cost its page, never another one's blocks.
//
// Not a growing hash map: it never rehashes (which would stop all calls for as long as a table of
// millions takes to copy), and what it takes is known to the byte, for the memory limit. Bad at
// more pages than it was made for: chains get longer then.
//
// Externally synchronised.
class SlotTable {
 public:
  struct Info {
    PageName name;
    uint32_t first_block = 0;
    uint16_t stored_bytes = 0;  // 0: not held
  };
  static constexpr uint32_t kSlotOverheadBytes = sizeof(Info) + ChunkPool::kItemOverheadBytes;

  // `buckets` a power of two.
  SlotTable(uint32_t slots_per_hunk, uint32_t hunks_max, uint64_t buckets);

  ChunkPool& pool() { return pool_; }
  const ChunkPool& pool() const { return pool_; }
  void AddHunk(uint32_t hunk, const std::function<bool(uint32_t slot)>& taken = nullptr);
  void RemoveHunk(uint32_t hunk);

  // A taken slot comes to hold a record whose name is not in the table.
  void Insert(uint32_t slot, const Info& info);
  // A slot holds nothing any more, and is still taken.
  void Erase(uint32_t slot);
  std::optional<uint32_t> Find(const PageName& name) const;
  const Info& info(uint32_t slot) const {
    return infos_[slot / pool_.items_per_chunk()][slot % pool_.items_per_chunk()];
  }
  bool Held(uint32_t slot) const {
    return pool_.Has(slot / pool_.items_per_chunk()) && info(slot).stored_bytes != 0;
  }
  // Slots that may hold something are below.
  uint32_t slots_end() const { return pool_.chunks_end() * pool_.items_per_chunk(); }
  uint64_t pages() const { return pages_; }
  uint64_t payload_bytes() const { return payload_bytes_; }

 private:
  uint32_t& BucketOf(const PageName& name) {
    return buckets_[PageNameHash()(name) & (buckets_.size() - 1)];
  }

  ChunkPool pool_;
  std::vector<std::unique_ptr<Info[]>> infos_;  // one a hunk
  std::vector<uint32_t> buckets_;
  uint64_t pages_ = 0;
  uint64_t payload_bytes_ = 0;
};

}  // namespace vswap
