#include "services/frontend/entry_table.h"

#include <algorithm>

namespace vswap {

SpaceCounts& SpaceCounts::operator+=(const SpaceCounts& other) {
  empty_pages += other.empty_pages;
  zero_pages += other.zero_pages;
  compressed_pages += other.compressed_pages;
  physical_pages += other.physical_pages;
  lost_pages += other.lost_pages;
  compressed_bytes += other.compressed_bytes;
  physical_bytes += other.physical_bytes;
  return *this;
}

const EntryTable::Cluster* EntryTable::Find(SpaceId space, Offset offset) const {
  const Key key = KeyOf(space, offset);
  if (last_cluster_ != nullptr && last_key_ == key) {
    return last_cluster_;
  }
  const auto it = clusters_.find(key);
  if (it == clusters_.end()) {
    return nullptr;
  }
  last_key_ = key;
  last_cluster_ = it->second.get();
  return last_cluster_;
}

EntryTable::Cluster& EntryTable::FindOrMake(SpaceId space, Offset offset) {
  if (Find(space, offset) == nullptr) {
    last_key_ = KeyOf(space, offset);
    last_cluster_ = (clusters_[last_key_] = MakeInPool<Cluster>(pool_)).get();
  }
  return *last_cluster_;
}

Entry EntryTable::Get(SpaceId space, Offset offset) const {
  const Cluster* cluster = Find(space, offset);
  if (cluster == nullptr) {
    return {};
  }
  const uint64_t slot = offset % kClusterSlots;
  return {cluster->words[slot], cluster->companions[slot]};
}

Entry EntryTable::Publish(SpaceId space, Offset offset, Entry entry) {
  Cluster& cluster = FindOrMake(space, offset);
  const uint64_t slot = offset % kClusterSlots;
  const Entry old{cluster.words[slot], cluster.companions[slot]};
  cluster.words[slot] = entry.word;
  cluster.companions[slot] = entry.companion;
  cluster.words_used += (entry.word.bits() != 0) - (old.word.bits() != 0);
  Count(space, old, -1);
  Count(space, entry, +1);
  DropIfEmpty(cluster, space, offset);
  return old;
}

void EntryTable::MarkSeen(SpaceId space, Offset offset, SeenBy by) {
  Cluster& cluster = FindOrMake(space, offset);
  Companion& companion = cluster.companions[offset % kClusterSlots];
  companion = companion.WithSeen(by, true);
  DropIfEmpty(cluster, space, offset);
}

Entry EntryTable::Touch(SpaceId space, Offset offset) {
  if (Find(space, offset) == nullptr) {
    return {};
  }
  const uint64_t slot = offset % kClusterSlots;
  const Entry entry{last_cluster_->words[slot], last_cluster_->companions[slot]};
  if (entry.word.kind() == Backing::kCompressed && !entry.companion.loaded()) {
    last_cluster_->companions[slot] = entry.companion.WithLoaded(true);
  }
  return entry;
}

size_t EntryTable::CountCompressed(const std::vector<SetId>& sets) const {
  size_t count = 0;
  for (const auto& [key, cluster] : clusters_) {
    count += static_cast<size_t>(std::ranges::count_if(cluster->words, [&](const Word& word) {
      return word.kind() == Backing::kCompressed &&
             std::ranges::find(sets, word.set()) != sets.end();
    }));
  }
  return count;
}

std::vector<NamedEntry> EntryTable::TakeColdest(const std::vector<SetId>& sets, size_t count) {
  const auto by_version = [](const NamedEntry& entry) { return entry.entry.word.version(); };
  std::vector<NamedEntry> coldest;
  const auto keep_oldest = [&] {
    if (coldest.size() > count) {
      std::ranges::nth_element(coldest, coldest.begin() + static_cast<ptrdiff_t>(count), {},
                               by_version);
      coldest.resize(count);
    }
  };
  for (const auto& [key, cluster] : clusters_) {
    for (uint32_t slot = 0; slot < kClusterSlots; ++slot) {
      const Word word = cluster->words[slot];
      if (word.kind() != Backing::kCompressed ||
          std::ranges::find(sets, word.set()) == sets.end()) {
        continue;
      }
      Companion& companion = cluster->companions[slot];
      if (companion.loaded()) {
        companion = companion.WithLoaded(false);
        continue;
      }
      coldest.push_back({key.space, key.cluster * kClusterSlots + slot, {word, companion}});
      if (coldest.size() >= 2 * count + kClusterSlots) {
        keep_oldest();
      }
    }
  }
  keep_oldest();
  return coldest;
}

EntryTable::InFlight& EntryTable::InFlightOf(SpaceId space, Offset offset) {
  Cluster& cluster = FindOrMake(space, offset);
  if (!cluster.in_flight) {
    cluster.in_flight = std::make_unique<std::array<InFlight, kClusterSlots>>();
  }
  InFlight& record = (*cluster.in_flight)[offset % kClusterSlots];
  cluster.slots_in_flight += record.count == 0;
  return record;
}

const EntryTable::InFlight* EntryTable::FindInFlight(SpaceId space, Offset offset) const {
  const Cluster* cluster = Find(space, offset);
  if (cluster == nullptr || !cluster->in_flight) {
    return nullptr;
  }
  const InFlight& record = (*cluster->in_flight)[offset % kClusterSlots];
  return record.count == 0 ? nullptr : &record;
}

void EntryTable::Settle(SpaceId space, Offset offset) {
  Cluster& cluster = FindOrMake(space, offset);
  (*cluster.in_flight)[offset % kClusterSlots] = InFlight{};
  if (--cluster.slots_in_flight == 0) {
    cluster.in_flight.reset();
  }
  DropIfEmpty(cluster, space, offset);
}

void EntryTable::DropIfEmpty(const Cluster& cluster, SpaceId space, Offset offset) {
  if (cluster.words_used == 0 && cluster.slots_in_flight == 0) {
    last_cluster_ = nullptr;
    clusters_.erase(KeyOf(space, offset));
  }
}

void EntryTable::ForEach(SpaceId space, Extent extent,
                         const std::function<void(Offset, const Entry&)>& visit) const {
  const Offset end = extent.offset + extent.pages;
  for (Offset offset = extent.offset; offset < end;) {
    const Offset cluster_end = std::min(end, (offset / kClusterSlots + 1) * kClusterSlots);
    if (const Cluster* cluster = Find(space, offset)) {
      for (Offset at = offset; at < cluster_end; ++at) {
        const uint64_t slot = at % kClusterSlots;
        const bool in_flight = cluster->in_flight && (*cluster->in_flight)[slot].count != 0;
        if (cluster->words[slot].bits() != 0 || in_flight) {
          visit(at, {cluster->words[slot], cluster->companions[slot]});
        }
      }
    }
    offset = cluster_end;
  }
}

void EntryTable::ForEach(const std::function<void(SpaceId, Offset, const Entry&)>& visit) const {
  for (const auto& [key, cluster] : clusters_) {
    for (uint32_t slot = 0; slot < kClusterSlots; ++slot) {
      if (cluster->words[slot].bits() != 0) {
        visit(key.space, key.cluster * kClusterSlots + slot,
              {cluster->words[slot], cluster->companions[slot]});
      }
    }
  }
}

void EntryTable::ForEachCluster(const std::function<void(SpaceId, uint64_t)>& visit) const {
  for (const auto& [key, cluster] : clusters_) {
    visit(key.space, key.cluster);
  }
}

void EntryTable::ForEachCluster(SpaceId space, const std::function<void(uint64_t)>& visit) const {
  for (const auto& [key, cluster] : clusters_) {
    if (key.space == space) {
      visit(key.cluster);
    }
  }
}

std::optional<uint32_t> EntryTable::FindFreeRun(SpaceId space, uint64_t cluster, uint32_t order,
                                                uint32_t from, uint32_t limit) const {
  const uint32_t length = 1u << order;
  const auto it = clusters_.find({space, cluster});
  const Cluster* const held = it == clusters_.end() ? nullptr : it->second.get();
  const auto is_free = [held](uint32_t slot) {
    return held == nullptr || (held->words[slot].bits() == 0 &&
                               !(held->in_flight && (*held->in_flight)[slot].count != 0));
  };
  for (uint32_t begin = (from + length - 1) / length * length; begin + length <= limit;
       begin += length) {
    uint32_t free = 0;
    while (free < length && is_free(begin + free)) {
      ++free;
    }
    if (free == length) {
      return begin;
    }
  }
  return std::nullopt;
}

void EntryTable::ClearSeen(SeenBy by) {
  for (const auto& [key, cluster] : clusters_) {
    for (Companion& companion : cluster->companions) {
      companion = companion.WithSeen(by, false);
    }
  }
}

void EntryTable::Count(SpaceId space, const Entry& entry, int64_t sign) {
  if (!entry.live()) {
    return;
  }
  SpaceCounts& counts = counts_[space];
  AddTo(entry, sign, &counts);
  if (counts == SpaceCounts{}) {
    counts_.erase(space);
  }
  if (entry.word.stored()) {
    if (entry.word.set() >= by_set_.size()) {
      by_set_.resize(entry.word.set() + size_t{1});
    }
    by_set_[entry.word.set()] += static_cast<uint64_t>(sign);
  }
}

std::vector<NamedEntry> EntryTable::EntriesOn(const std::vector<SetId>& sets) const {
  std::vector<NamedEntry> entries;
  ForEach([&](SpaceId space, Offset offset, const Entry& entry) {
    if (entry.word.stored() && std::ranges::find(sets, entry.word.set()) != sets.end()) {
      entries.push_back({space, offset, entry});
    }
  });
  return entries;
}

void EntryTable::AddTo(const Entry& entry, int64_t sign, SpaceCounts* counts) {
  if (!entry.live()) {
    return;
  }
  const uint64_t page = static_cast<uint64_t>(sign);
  const uint64_t bytes = page * entry.companion.stored_bytes();
  switch (entry.word.kind()) {
    case Backing::kNone:
      counts->empty_pages += page;
      break;
    case Backing::kZero:
      counts->zero_pages += page;
      break;
    case Backing::kCompressed:
      counts->compressed_pages += page;
      counts->compressed_bytes += bytes;
      break;
    case Backing::kPhysical:
      counts->physical_pages += page;
      counts->physical_bytes += bytes;
      break;
    case Backing::kLost:
      counts->lost_pages += page;
      break;
  }
}

}  // namespace vswap
