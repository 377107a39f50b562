#include "services/compressor/slot_table.h"

#include "services/compressor/arena_format.h"

namespace vswap {

using arena::kNone;

SlotTable::SlotTable(uint32_t slots_per_hunk, uint32_t hunks_max, uint64_t buckets)
    : pool_(slots_per_hunk, hunks_max), buckets_(buckets, kNone) {}

void SlotTable::AddHunk(uint32_t hunk, const std::function<bool(uint32_t slot)>& taken) {
  pool_.Add(hunk, taken);
  infos_.resize(pool_.chunks_end());
  infos_[hunk] = std::make_unique<Info[]>(pool_.items_per_chunk());
}

void SlotTable::RemoveHunk(uint32_t hunk) {
  pool_.Remove(hunk);
  infos_[hunk].reset();
}

void SlotTable::Insert(uint32_t slot, const Info& info) {
  infos_[slot / pool_.items_per_chunk()][slot % pool_.items_per_chunk()] = info;
  uint32_t& bucket = BucketOf(info.name);
  pool_.link(slot) = bucket;
  bucket = slot;
  ++pages_;
  payload_bytes_ += info.stored_bytes;
}

void SlotTable::Erase(uint32_t slot) {
  Info& erased = infos_[slot / pool_.items_per_chunk()][slot % pool_.items_per_chunk()];
  uint32_t* at = &BucketOf(erased.name);
  while (*at != slot) {
    at = &pool_.link(*at);
  }
  *at = pool_.link(slot);
  --pages_;
  payload_bytes_ -= erased.stored_bytes;
  erased = {};
}

std::optional<uint32_t> SlotTable::Find(const PageName& name) const {
  uint32_t slot = buckets_[PageNameHash()(name) & (buckets_.size() - 1)];
  while (slot != kNone && info(slot).name != name) {
    slot = pool_.link(slot);
  }
  return slot == kNone ? std::nullopt : std::optional<uint32_t>(slot);
}

}  // namespace vswap
