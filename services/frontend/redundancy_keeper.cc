#include "services/frontend/redundancy_keeper.h"

#include <algorithm>
#include <utility>

#include "services/frontend/shard_table.h"

namespace vswap {
namespace {

constexpr size_t kMassMin = 4;

}  // namespace

void RedundancyKeeper::LookAfter(Duration delay) {
  context_.executor.PostAfter(delay, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self != nullptr && !self->stopped_) {
      self->Look();
    }
  });
}

void RedundancyKeeper::Look() {
  for (const Placement::Member* member : context_.placement.Members()) {
    Ask(*member);
  }
  JudgeSilence();
  MoveDegraded();
  LookAfter(options_.look);
}

void RedundancyKeeper::Ask(const Placement::Member& member) {
  {
    MutexLock lock(mutex_);
    Heard& heard = heard_[&member];
    ++heard.unanswered;
    if (std::exchange(heard.asked, true)) {
      return;
    }
  }
  member.node->Statistics(
      [weak = weak_from_this(), &member](const StatusOr<NodeStatistics>& statistics) {
        const auto self = weak.lock();
        if (self == nullptr) {
          return;
        }
        MutexLock lock(self->mutex_);
        Heard& heard = self->heard_[&member];
        heard.asked = false;
        member.answers = statistics.ok();
        if (statistics.ok()) {
          heard.unanswered = 0;
          member.dead = false;
        }
      });
}

void RedundancyKeeper::JudgeSilence() {
  struct Count {
    size_t all = 0;
    std::vector<const Placement::Member*> silent;
  };
  std::map<Tier, Count> tiers;
  MutexLock lock(mutex_);
  for (const auto& [member, heard] : heard_) {
    Count& count = tiers[member->tier];
    ++count.all;
    if (heard.unanswered > options_.silent_looks_max) {
      count.silent.push_back(member);
    }
  }
  for (const auto& [tier, count] : tiers) {
    const bool mass = count.all >= kMassMin && 2 * count.silent.size() > count.all;
    for (const Placement::Member* member : count.silent) {
      member->dead = member->dead || !mass;
    }
  }
}

void RedundancyKeeper::MoveDegraded() {
  const Placement& placement = context_.placement;
  const std::vector<SetId> degraded = placement.DegradedSets();
  std::vector<SetId> movable;
  std::ranges::copy_if(degraded, std::back_inserter(movable),
                       [&](SetId set) { return placement.ChooseBetter(set).has_value(); });
  uint64_t pages = 0;
  std::vector<std::shared_ptr<Shard>> shards;
  for (const auto& shard : context_.shards.All()) {
    pages += shard->PagesOn(degraded);
    if (shard->PagesOn(movable) > 0) {
      shards.push_back(shard);
    }
  }
  degraded_pages_ = pages;
  if (shards.empty() || moving_.exchange(true)) {
    return;
  }
  MovePages(
      context_, std::move(shards),
      {.source =
           [self = shared_from_this(), movable](Shard& shard) {
             std::vector<NamedEntry> entries;
             if (!self->stopped_) {
               shard.Inspect([&](const EntryTable& table) { entries = table.EntriesOn(movable); });
             }
             return entries;
           },
       .target = [&placement](SetId from) { return placement.ChooseBetter(from); },
       .pages_per_second = options_.pages_per_second},
      [self = shared_from_this()](const MoveResult& result) {
        self->context_.counters.rebuilt += result.moved;
        self->moving_ = false;
      });
}

}  // namespace vswap
