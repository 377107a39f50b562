#include "services/compressor/slab_arena.h"

#include <algorithm>
#include <bit>

namespace vswap {
namespace {

using arena::BlocksFor;
using arena::HeaderState;
using arena::kBlockBytes;
using arena::kHeaderBytes;
using arena::RecordHeader;

constexpr uint64_t kMemoryMin = 256 * 1024;
constexpr uint32_t kSlabMin = 16 * 1024;
constexpr uint32_t kSlabMax = 64 * 1024 * 1024;
constexpr uint64_t kReservePages = kBatchPagesMax;
// Slots looked at without letting others in.
constexpr uint32_t kListSlotsAtOnce = 1024;

uint32_t HunkBytes(uint32_t slab_bytes) { return std::max(slab_bytes / 32, 4096u); }

uint64_t Buckets(uint64_t memory_max_bytes) { return std::bit_ceil(memory_max_bytes / 1024); }

ArenaRoom RoomOf(const SlabArenaOptions& options) {
  ArenaRoom room;
  room.limit_bytes = options.memory_max_bytes;
  room.fixed_bytes = arena::kSuperblockBytes + sizeof(SlabArena) +
                     Buckets(options.memory_max_bytes) * sizeof(uint32_t);
  room.slab_bytes = options.slab_bytes + ChunkPool::kChunkOverheadBytes +
                    options.slab_bytes / kBlockBytes * ChunkPool::kItemOverheadBytes;
  const uint64_t hunk = HunkBytes(options.slab_bytes);
  room.hunk_bytes =
      hunk + ChunkPool::kChunkOverheadBytes + hunk / kHeaderBytes * SlotTable::kSlotOverheadBytes;
  constexpr uint64_t kPageBytesMost = kPageBytes + kHeaderBytes + SlotTable::kSlotOverheadBytes;
  const uint64_t pages = std::min(kReservePages, options.memory_max_bytes / 8 / kPageBytesMost);
  room.reserve_slots = pages;
  room.reserve_blocks = pages * arena::kPageBlocksMax;
  return room;
}

// A hunk comes when every slot is taken, each with a block: so there are never more.
uint32_t HunksMax(const SlabArenaOptions& options) {
  const uint64_t slots = HunkBytes(options.slab_bytes) / kHeaderBytes;
  return static_cast<uint32_t>(options.memory_max_bytes / (kBlockBytes + kHeaderBytes) / slots + 2);
}

uint32_t SlabsMax(const SlabArenaOptions& options) {
  return static_cast<uint32_t>(options.memory_max_bytes / options.slab_bytes + 1);
}

Status Validate(const SlabArenaOptions& options) {
  if (options.memory_max_bytes < kMemoryMin || options.memory_max_bytes > arena::kBlocksBytesMax) {
    return InvalidField("memory_max_bytes", std::to_string(options.memory_max_bytes),
                        std::to_string(kMemoryMin) + ".." + std::to_string(arena::kBlocksBytesMax));
  }
  if (!std::has_single_bit(options.slab_bytes) || options.slab_bytes < kSlabMin ||
      options.slab_bytes > kSlabMax || options.slab_bytes > options.memory_max_bytes / 4) {
    return InvalidField("slab_bytes", std::to_string(options.slab_bytes),
                        "a power of two from " + std::to_string(kSlabMin) + " to " +
                            std::to_string(kSlabMax) + ", at most memory_max_bytes / 4");
  }
  return absl::OkStatus();
}

// With a limit that the file system can keep: what the rule of room promises must be there.
StatusOr<SlabArenaOptions> Fitting(const SlabArenaOptions& options, const ArenaFile& file) {
  const auto there = file.FileSystemBytes();
  VSWAP_RETURN_IF_ERROR(there.status());
  SlabArenaOptions fitting = options;
  fitting.memory_max_bytes = std::min(options.memory_max_bytes, *there);
  if (const Status valid = Validate(fitting); !valid.ok()) {
    return MakeError(StatusCode::kFailedPrecondition,
                     "the file system of " + options.path + " has only " + std::to_string(*there) +
                         " bytes: " + std::string(MessageOf(valid)));
  }
  return fitting;
}

}  // namespace

SlabArena::SlabArena(const SlabArenaOptions& options, std::unique_ptr<ArenaFile> file)
    : file_(std::move(file)),
      room_(RoomOf(options)),
      blocks_(options.slab_bytes / kBlockBytes, SlabsMax(options)),
      slots_(HunkBytes(options.slab_bytes) / kHeaderBytes, HunksMax(options),
             Buckets(options.memory_max_bytes)) {}

StatusOr<std::unique_ptr<SlabArena>> SlabArena::Open(const SlabArenaOptions& options,
                                                     Random& random) {
  VSWAP_RETURN_IF_ERROR(Validate(options));
  auto file =
      ArenaFile::Open({options.path, options.data_dir_id, options.data_dir_path, options.slab_bytes,
                       HunkBytes(options.slab_bytes), options.allow_swappable, options.swaps_path},
                      random);
  VSWAP_RETURN_IF_ERROR(file.status());
  const auto fitting = Fitting(options, **file);
  VSWAP_RETURN_IF_ERROR(fitting.status());
  VSWAP_RETURN_IF_ERROR((*file)->Map(HunksMax(*fitting), SlabsMax(*fitting)));
  std::unique_ptr<SlabArena> arena(new SlabArena(*fitting, *std::move(file)));
  {
    MutexLock lock(arena->mutex_);
    auto recovered = RecoverArena(*arena->file_, arena->blocks_, arena->slots_);
    VSWAP_RETURN_IF_ERROR(recovered.status());
    arena->recovery_ = *recovered;
  }
  arena->file_->Keep();
  return arena;
}

std::optional<uint16_t> SlabArena::FindHeld(const PageName& name) {
  MutexLock lock(mutex_);
  const auto slot = slots_.Find(name);
  return slot ? std::optional<uint16_t>(slots_.info(*slot).stored_bytes) : std::nullopt;
}

std::optional<uint16_t> SlabArena::Keep(const Put& put) {
  if (const auto held = FindHeld(put.record.name)) {
    return held;
  }
  Claim claim;
  if (!Reserve(BlocksFor(put.bytes.size()), BlocksFor(put.replaces_bytes), &claim)) {
    return std::nullopt;
  }
  WriteUnpublished(put, claim);
  uint16_t stored_bytes = put.record.stored_bytes;
  {
    MutexLock lock(mutex_);
    const auto other = slots_.Find(put.record.name);
    if (!other && !(put.withdrawn && put.withdrawn->load())) {
      arena::SetState(file_->header(claim.slot), HeaderState::kHeld);
      slots_.Insert(claim.slot, {put.record.name, claim.blocks[0], stored_bytes});
      return stored_bytes;
    }
    stored_bytes = other ? slots_.info(*other).stored_bytes : stored_bytes;
  }
  Wipe(claim);
  GiveBack({&claim, 1});
  return stored_bytes;
}

bool SlabArena::Reserve(uint32_t block_count, uint32_t replaced_blocks, Claim* claim) {
  {
    MutexLock lock(mutex_);
    if (TryTake(block_count, replaced_blocks, claim)) {
      return true;
    }
  }
  MutexLock grow(grow_mutex_);
  while (true) {
    std::optional<Step> step;
    {
      MutexLock lock(mutex_);
      if (TryTake(block_count, replaced_blocks, claim)) {
        return true;
      }
      if (!room_.Admits(blocks_, slots_.pool(), block_count, replaced_blocks)) {
        return false;
      }
      step = NextStep();
    }
    if (!step || !Perform(*step)) {
      return false;
    }
  }
}

bool SlabArena::TryTake(uint32_t block_count, uint32_t replaced_blocks, Claim* claim) {
  if (blocks_.free_items() < block_count || slots_.pool().free_items() == 0 ||
      !room_.Admits(blocks_, slots_.pool(), block_count, replaced_blocks)) {
    return false;
  }
  claim->slot = slots_.pool().Take();
  claim->block_count = block_count;
  for (uint32_t i = 0; i < block_count; ++i) {
    claim->blocks[i] = blocks_.Take();
  }
  for (uint32_t i = 0; i < block_count; ++i) {
    blocks_.link(claim->blocks[i]) = i + 1 < block_count ? claim->blocks[i + 1] : arena::kNone;
  }
  return true;
}

// Towards room that the rule says there is: a chunk of what is short, and before that, where the
// limit is reached, away with an empty chunk of the other kind.
std::optional<SlabArena::Step> SlabArena::NextStep() {
  ChunkPool& slot_pool = slots_.pool();
  const bool slabs = slot_pool.free_items() > 0;
  const uint64_t chunk_bytes = slabs ? room_.slab_bytes : room_.hunk_bytes;
  if (room_.UsedBytes(blocks_, slot_pool) + chunk_bytes > room_.limit_bytes) {
    const auto empty = (slabs ? slot_pool : blocks_).HighestEmpty();
    if (!empty) {
      return std::nullopt;
    }
    slabs ? slots_.RemoveHunk(*empty) : blocks_.Remove(*empty);
    return Step{false, !slabs, *empty};
  }
  const auto absent = (slabs ? blocks_ : slot_pool).LowestAbsent();
  return absent ? std::optional<Step>({true, slabs, *absent}) : std::nullopt;
}

bool SlabArena::Perform(const Step& step) {
  const ArenaFile::Region& region = step.slabs ? file_->blocks() : file_->headers();
  if (!step.add) {
    return file_->Release(region, step.chunk);
  }
  if (!file_->Allocate(region, step.chunk)) {
    return false;
  }
  MutexLock lock(mutex_);
  step.slabs ? blocks_.Add(step.chunk) : slots_.AddHunk(step.chunk);
  return true;
}

void SlabArena::WriteUnpublished(const Put& put, const Claim& claim) {
  const ArenaRecord& record = put.record;
  RecordHeader fields{};
  fields.space = record.name.space;
  fields.offset = record.name.offset;
  fields.version = record.name.version;
  fields.stamp_token = record.stamp.token;
  fields.stamp_sequence = record.stamp.sequence;
  fields.page_checksum = record.page_checksum;
  fields.record_checksum = record.record_checksum;
  fields.slot = claim.slot;
  fields.stored_bytes = record.stored_bytes;
  fields.encoding = static_cast<uint8_t>(record.encoding);
  std::copy_n(claim.blocks, claim.block_count, fields.blocks);
  fields.crc = fields.Crc();
  RecordHeader* header = file_->header(claim.slot);
  *header = fields;  // still kFree
  arena::SetState(header, HeaderState::kWriting);
  for (uint32_t i = 0; i < claim.block_count; ++i) {
    const ByteView piece = put.bytes.subspan(
        i * kBlockBytes, std::min<size_t>(kBlockBytes, put.bytes.size() - i * kBlockBytes));
    std::memcpy(file_->block(claim.blocks[i]), piece.data(), piece.size());
  }
}

std::optional<ArenaRecord> SlabArena::CopyTo(const PageName& name,
                                             std::vector<std::byte>& payload) {
  MutexLock lock(mutex_);
  const auto slot = slots_.Find(name);
  if (!slot) {
    return std::nullopt;
  }
  const SlotTable::Info& info = slots_.info(*slot);
  size_t left = info.stored_bytes;
  for (uint32_t block = info.first_block; left > 0; block = blocks_.link(block)) {
    const size_t piece = std::min<size_t>(left, kBlockBytes);
    payload.insert(payload.end(), file_->block(block), file_->block(block) + piece);
    left -= piece;
  }
  const RecordHeader& header = *file_->header(*slot);
  return ArenaRecord{name,
                     {header.stamp_token, header.stamp_sequence},
                     header.page_checksum,
                     header.record_checksum,
                     static_cast<Encoding>(header.encoding),
                     info.stored_bytes};
}

SlabArena::Claim SlabArena::ClaimOf(uint32_t slot) const {
  const SlotTable::Info& info = slots_.info(slot);
  Claim claim;
  claim.slot = slot;
  claim.block_count = BlocksFor(info.stored_bytes);
  uint32_t block = info.first_block;
  for (uint32_t i = 0; i < claim.block_count; ++i) {
    claim.blocks[i] = block;
    block = blocks_.link(block);
  }
  return claim;
}

void SlabArena::Delete(std::span<const PageName> names) {
  std::vector<Claim> claims;
  claims.reserve(names.size());
  {
    MutexLock lock(mutex_);
    for (const PageName& name : names) {
      if (const auto slot = slots_.Find(name)) {
        claims.push_back(ClaimOf(*slot));
        slots_.Erase(*slot);
        // At once, so that whoever finds the name gone may answer for it.
        arena::SetState(file_->header(*slot), HeaderState::kDying);
      }
    }
  }
  for (const Claim& claim : claims) {
    Wipe(claim);
  }
  GiveBack(claims);
}

void SlabArena::Wipe(const Claim& claim) {
  RecordHeader* header = file_->header(claim.slot);
  arena::SetState(header, HeaderState::kDying);
  for (uint32_t i = 0; i < claim.block_count; ++i) {
    std::memset(file_->block(claim.blocks[i]), 0, kBlockBytes);
  }
  arena::SetState(header, HeaderState::kFree);
  *header = RecordHeader{};
}

void SlabArena::GiveBack(std::span<const Claim> claims) {
  {
    MutexLock lock(mutex_);
    for (const Claim& claim : claims) {
      for (uint32_t i = claim.block_count; i-- > 0;) {
        blocks_.Give(claim.blocks[i]);
      }
      slots_.pool().Give(claim.slot);
    }
  }
  Trim();
}

std::optional<SlabArena::Step> SlabArena::NextTrim() {
  const auto surplus = [](const ChunkPool& pool) {
    return pool.empty_chunks() > (pool.taken_items() > 0 ? 1u : 0u);
  };
  if (surplus(blocks_)) {
    return Step{false, true, *blocks_.HighestEmpty()};
  }
  if (surplus(slots_.pool())) {
    return Step{false, false, *slots_.pool().HighestEmpty()};
  }
  return std::nullopt;
}

void SlabArena::Trim() {
  {
    MutexLock lock(mutex_);
    if (!NextTrim()) {
      return;
    }
  }
  MutexLock grow(grow_mutex_);
  while (true) {
    std::optional<Step> step;
    {
      MutexLock lock(mutex_);
      step = NextTrim();
      if (!step) {
        return;
      }
      step->slabs ? blocks_.Remove(step->chunk) : slots_.RemoveHunk(step->chunk);
    }
    if (!Perform(*step)) {
      return;
    }
  }
}

std::optional<uint32_t> SlabArena::List(uint32_t slot, uint32_t limit,
                                        std::vector<PageName>& names) {
  while (true) {
    MutexLock lock(mutex_);
    const uint32_t end = slots_.slots_end();
    for (uint32_t looked = 0; looked < kListSlotsAtOnce; ++looked, ++slot) {
      if (slot >= end) {
        return std::nullopt;
      }
      if (!slots_.Held(slot)) {
        continue;
      }
      if (names.size() == limit) {
        return slot;
      }
      names.push_back(slots_.info(slot).name);
    }
  }
}

ArenaStatistics SlabArena::Statistics() const {
  MutexLock lock(mutex_);
  return {slots_.pages(), slots_.payload_bytes(), room_.UsedBytes(blocks_, slots_.pool()),
          room_.limit_bytes, room_.OccupiedBytes(blocks_, slots_.pool())};
}

}  // namespace vswap
