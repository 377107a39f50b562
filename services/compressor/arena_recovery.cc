#include "services/compressor/arena_recovery.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "services/common/checksum.h"

namespace vswap {
namespace {

using arena::BlocksFor;
using arena::HeaderState;
using arena::kBlockBytes;
using arena::kNone;
using arena::RecordHeader;

class Recovery {
 public:
  Recovery(ArenaFile& file, ChunkPool& blocks, SlotTable& slots)
      : file_(file), blocks_(blocks), slots_(slots), owners_(file.blocks().chunks_max) {}

  StatusOr<ArenaRecovery> Run() {
    const auto hunks = file_.WrittenHunks();
    VSWAP_RETURN_IF_ERROR(hunks.status());
    const uint32_t slots_per_hunk = slots_.pool().items_per_chunk();
    held_.resize(hunks->empty() ? 0 : (uint64_t{hunks->back()} + 1) * slots_per_hunk);
    for (const uint32_t hunk : *hunks) {
      for (uint32_t i = 0; i < slots_per_hunk; ++i) {
        Look(hunk * slots_per_hunk + i);
      }
    }
    for (const uint32_t hunk : *hunks) {
      VSWAP_RETURN_IF_ERROR(AddHunk(hunk));
    }
    for (uint32_t slab = 0; slab < owners_.size(); ++slab) {
      VSWAP_RETURN_IF_ERROR(AddSlab(slab));
    }
    LinkBlocks();
    WipeRemains();
    VSWAP_RETURN_IF_ERROR(
        ReleaseUnused(file_.headers(), slots_.pool(),
                      static_cast<uint32_t>((arena::kBlocksBegin - arena::kHeadersBegin) /
                                            file_.headers().chunk_bytes)));
    VSWAP_RETURN_IF_ERROR(ReleaseUnused(file_.blocks(), blocks_, file_.blocks().chunks_max));
    result_.pages = slots_.pages();
    return result_;
  }

 private:
  uint32_t& OwnerOf(uint32_t block) {
    auto& owners = owners_[block / blocks_.items_per_chunk()];
    if (owners.empty()) {
      owners.resize(blocks_.items_per_chunk(), kNone);
    }
    return owners[block % blocks_.items_per_chunk()];
  }

  static std::span<const uint32_t> BlocksOf(const RecordHeader& header) {
    return std::span(header.blocks, BlocksFor(header.stored_bytes));
  }

  bool IsSound(const RecordHeader& header, uint32_t slot) const {
    const auto state = static_cast<HeaderState>(header.state);
    if ((state != HeaderState::kHeld && state != HeaderState::kWriting &&
         state != HeaderState::kDying) ||
        header.crc != header.Crc() || header.slot != slot || header.stored_bytes == 0 ||
        header.stored_bytes > kPageBytes) {
      return false;
    }
    const std::span<const uint32_t> blocks = BlocksOf(header);
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (blocks[i] / blocks_.items_per_chunk() >= owners_.size() ||
          std::find(blocks.begin(), blocks.begin() + static_cast<ptrdiff_t>(i), blocks[i]) !=
              blocks.begin() + static_cast<ptrdiff_t>(i)) {
        return false;
      }
    }
    return true;
  }

  bool Verifies(uint32_t slot) const {
    const RecordHeader& header = *file_.header(slot);
    std::vector<std::byte> bytes;
    for (const uint32_t block : BlocksOf(header)) {
      bytes.insert(bytes.end(), file_.block(block), file_.block(block) + kBlockBytes);
    }
    bytes.resize(header.stored_bytes);
    return RecordChecksum(header.name(), {header.stamp_token, header.stamp_sequence},
                          header.page_checksum, static_cast<Encoding>(header.encoding),
                          bytes) == header.record_checksum;
  }

  void Look(uint32_t slot) {
    const RecordHeader& header = *file_.header(slot);
    if (static_cast<HeaderState>(header.state) == HeaderState::kFree) {
      return;
    }
    if (!IsSound(header, slot)) {
      ++result_.damaged;
      remains_.push_back(slot);
    } else if (static_cast<HeaderState>(header.state) != HeaderState::kHeld) {
      ++result_.unfinished;
      remains_.push_back(slot);
    } else {
      ClaimBlocks(slot, header);
    }
  }

  void ClaimBlocks(uint32_t slot, const RecordHeader& header) {
    for (const uint32_t block : BlocksOf(header)) {
      const uint32_t other = OwnerOf(block);
      if (other == kNone) {
        continue;
      }
      if (Verifies(other)) {
        ++result_.conflicting;
        remains_.push_back(slot);
        return;
      }
      Reject(other);
    }
    held_[slot] = true;
    for (const uint32_t block : BlocksOf(header)) {
      OwnerOf(block) = slot;
    }
  }

  void Reject(uint32_t slot) {
    for (const uint32_t block : BlocksOf(*file_.header(slot))) {
      OwnerOf(block) = kNone;
    }
    held_[slot] = false;
    ++result_.conflicting;
    remains_.push_back(slot);
  }

  Status AddHunk(uint32_t hunk) {
    const uint32_t slots_per_hunk = slots_.pool().items_per_chunk();
    const uint32_t begin = hunk * slots_per_hunk;
    const auto first = held_.begin() + begin;
    if (std::find(first, first + slots_per_hunk, true) == first + slots_per_hunk) {
      return absl::OkStatus();
    }
    if (!file_.Allocate(file_.headers(), hunk)) {
      return NoMemory();
    }
    slots_.AddHunk(hunk, [this](uint32_t slot) { return held_[slot]; });
    for (uint32_t slot = begin; slot < begin + slots_per_hunk; ++slot) {
      if (held_[slot]) {
        InsertOnce(slot);
      }
    }
    return absl::OkStatus();
  }

  void InsertOnce(uint32_t slot) {
    const RecordHeader& header = *file_.header(slot);
    if (const auto other = slots_.Find(header.name())) {
      const bool other_stays = Verifies(*other);
      const uint32_t loser = other_stays ? slot : *other;
      Reject(loser);
      if (!other_stays) {
        slots_.Erase(*other);
      }
      slots_.pool().Give(loser);
      if (other_stays) {
        return;
      }
    }
    slots_.Insert(slot, {header.name(), header.blocks[0], header.stored_bytes});
  }

  Status AddSlab(uint32_t slab) {
    const std::vector<uint32_t>& owners = owners_[slab];
    if (std::ranges::all_of(owners, [](uint32_t owner) { return owner == kNone; })) {
      return absl::OkStatus();
    }
    if (!file_.Allocate(file_.blocks(), slab)) {
      return NoMemory();
    }
    blocks_.Add(slab,
                [&](uint32_t block) { return owners[block % blocks_.items_per_chunk()] != kNone; });
    // Only what has been touched since it was mapped is locked into memory.
    const std::byte* begin = file_.block(slab * blocks_.items_per_chunk());
    for (uint64_t at = 0; at < file_.blocks().chunk_bytes; at += kPageBytes) {
      static_cast<void>(*static_cast<const volatile std::byte*>(begin + at));
    }
    return absl::OkStatus();
  }

  void LinkBlocks() {
    for (uint32_t slot = 0; slot < held_.size(); ++slot) {
      if (!held_[slot]) {
        continue;
      }
      const std::span<const uint32_t> blocks = BlocksOf(*file_.header(slot));
      for (size_t i = 0; i < blocks.size(); ++i) {
        blocks_.link(blocks[i]) = i + 1 < blocks.size() ? blocks[i + 1] : kNone;
      }
    }
  }

  void WipeIfFree(uint32_t block) {
    if (blocks_.Has(block / blocks_.items_per_chunk()) && OwnerOf(block) == kNone) {
      std::memset(file_.block(block), 0, kBlockBytes);
    }
  }

  void WipeRemains() {
    for (const uint32_t slot : remains_) {
      RecordHeader* header = file_.header(slot);
      if (IsSound(*header, slot)) {
        std::ranges::for_each(BlocksOf(*header), [this](uint32_t block) { WipeIfFree(block); });
      }
      arena::SetState(header, HeaderState::kFree);
      *header = RecordHeader{};
    }
    // Where the page of such a header lies nobody knows any more.
    if (result_.damaged + result_.conflicting > 0) {
      blocks_.ForEachFree([this](uint32_t block) { WipeIfFree(block); });
    }
  }

  Status ReleaseUnused(const ArenaFile::Region& region, const ChunkPool& pool, uint32_t end) {
    for (uint32_t begin = 0; begin < end;) {
      uint32_t next = begin;
      while (next < end && !pool.Has(next)) {
        next = next < pool.chunks_end() ? next + 1 : end;
      }
      if (next > begin && !file_.Release(region, begin, next - begin)) {
        return MakeError(StatusCode::kUnavailable, "giving back unused memory of the arena failed");
      }
      begin = next + 1;
    }
    return absl::OkStatus();
  }

  static Status NoMemory() {
    return MakeError(StatusCode::kResourceExhausted,
                     "the arena's file system has no memory for the pages that it holds");
  }

  ArenaFile& file_;
  ChunkPool& blocks_;
  SlotTable& slots_;
  ArenaRecovery result_;
  std::vector<bool> held_;                     // by slot
  std::vector<std::vector<uint32_t>> owners_;  // slots, by slab and block; empty: nobody's
  std::vector<uint32_t> remains_;              // slots whose headers go
};

}  // namespace

StatusOr<ArenaRecovery> RecoverArena(ArenaFile& file, ChunkPool& blocks, SlotTable& slots) {
  return Recovery(file, blocks, slots).Run();
}

}  // namespace vswap
