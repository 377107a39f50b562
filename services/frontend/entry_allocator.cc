#include "services/frontend/entry_allocator.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace vswap {
namespace {

constexpr uint64_t kStripeClusters = kStripePages / kClusterSlots;

}  // namespace

EntryAllocator::EntryAllocator(const Place& place, const EntryTable& table) : place_(place) {
  std::vector<uint64_t> held;
  table.ForEachCluster(place_.space, [&held](uint64_t cluster) { held.push_back(cluster); });
  std::ranges::sort(held);
  for (const uint64_t cluster : held) {
    for (auto next = PassFrontier(); next && *next != cluster; next = PassFrontier()) {
      AddHole(*next);
    }
    SetBound(cluster, kOrderMax);
  }
}

std::optional<Offset> EntryAllocator::Find(const EntryTable& table, uint32_t order) {
  std::optional<Current>& current = current_[order];
  if (current) {
    if (const auto found = FindIn(table, current->cluster, order, current->next)) {
      current->next = static_cast<uint32_t>(*found % kClusterSlots) + (1u << order);
      return found;
    }
    File(table, std::exchange(current, std::nullopt)->cluster);
  }
  if (const auto found = FindInPartial(table, order)) {
    return found;
  }
  if (const std::optional<uint64_t> empty = TakeEmptyCluster()) {
    if (const auto found = FindIn(table, *empty, order, 0)) {
      return MakeCurrent(*empty, order, *found);
    }
    File(table, *empty);
  }
  for (const std::optional<Current>& other : current_) {
    if (other) {
      if (const auto found = FindIn(table, other->cluster, order, 0)) {
        return found;
      }
    }
  }
  return std::nullopt;
}

std::optional<Offset> EntryAllocator::FindInPartial(const EntryTable& table, uint32_t order) {
  for (uint32_t bound = order; bound <= kOrderMax; ++bound) {
    while (!partial_[bound].empty()) {
      const uint64_t cluster = *partial_[bound].begin();
      if (const auto found = FindIn(table, cluster, order, 0)) {
        SetBound(cluster, std::nullopt);
        return MakeCurrent(cluster, order, *found);
      }
      File(table, cluster);
    }
  }
  return std::nullopt;
}

std::optional<Offset> EntryAllocator::MakeCurrent(uint64_t cluster, uint32_t order, Offset found) {
  current_[order] = {cluster, static_cast<uint32_t>(found % kClusterSlots) + (1u << order)};
  return found;
}

std::optional<Offset> EntryAllocator::FindIn(const EntryTable& table, uint64_t cluster,
                                             uint32_t order, uint32_t from) const {
  const auto slot = table.FindFreeRun(place_.space, cluster, order, from, LimitOf(cluster));
  return slot ? std::optional(cluster * kClusterSlots + *slot) : std::nullopt;
}

uint32_t EntryAllocator::LimitOf(uint64_t cluster) const {
  return static_cast<uint32_t>(
      std::min<uint64_t>(kClusterSlots, place_.space_pages - cluster * kClusterSlots));
}

bool EntryAllocator::IsCurrent(uint64_t cluster) const {
  return std::ranges::any_of(
      current_, [&](const auto& current) { return current && current->cluster == cluster; });
}

void EntryAllocator::NoteFreed(const EntryTable& table, uint64_t cluster) {
  for (std::optional<Current>& current : current_) {
    if (current && current->cluster == cluster) {
      current->next = 0;
      return;
    }
  }
  if (table.HasCluster(place_.space, cluster)) {
    SetBound(cluster, kOrderMax);
  } else {
    SetBound(cluster, std::nullopt);
    AddHole(cluster);
  }
}

void EntryAllocator::ForgetCurrent(const EntryTable& table) {
  for (std::optional<Current>& current : current_) {
    if (current) {
      File(table, std::exchange(current, std::nullopt)->cluster);
    }
  }
}

void EntryAllocator::File(const EntryTable& table, uint64_t cluster) {
  if (IsCurrent(cluster)) {
    return;
  }
  if (!table.HasCluster(place_.space, cluster)) {
    SetBound(cluster, std::nullopt);
    AddHole(cluster);
    return;
  }
  for (uint32_t order = kOrderMax + 1; order-- > 0;) {
    if (FindIn(table, cluster, order, 0)) {
      return SetBound(cluster, order);
    }
  }
  SetBound(cluster, std::nullopt);
}

void EntryAllocator::SetBound(uint64_t cluster, std::optional<uint32_t> bound) {
  if (const auto known = bounds_.find(cluster); known != bounds_.end()) {
    partial_[known->second].erase(cluster);
    bounds_.erase(known);
  }
  if (bound) {
    partial_[*bound].insert(cluster);
    bounds_[cluster] = *bound;
  }
}

void EntryAllocator::AddHole(uint64_t cluster) {
  const auto next = holes_.upper_bound(cluster);
  auto hole = holes_.end();
  if (next != holes_.begin()) {
    const auto before = std::prev(next);
    if (cluster < before->first + before->second) {
      return;  // known
    }
    if (cluster == before->first + before->second) {
      ++before->second;
      hole = before;
    }
  }
  if (hole == holes_.end()) {
    hole = holes_.emplace(cluster, 1).first;
  }
  if (next != holes_.end() && hole->first + hole->second == next->first) {
    hole->second += next->second;
    holes_.erase(next);
  }
}

std::optional<uint64_t> EntryAllocator::TakeEmptyCluster() {
  if (!holes_.empty()) {
    const auto [first, length] = *holes_.begin();
    holes_.erase(holes_.begin());
    if (length > 1) {
      holes_.emplace(first + 1, length - 1);
    }
    return first;
  }
  return PassFrontier();
}

std::optional<uint64_t> EntryAllocator::PassFrontier() {
  while (frontier_ * kClusterSlots < place_.space_pages) {
    if (ShardOf(place_.space, frontier_ * kClusterSlots, place_.shard_count) == place_.shard) {
      return frontier_++;
    }
    frontier_ = (frontier_ / kStripeClusters + 1) * kStripeClusters;
  }
  return std::nullopt;
}

}  // namespace vswap
