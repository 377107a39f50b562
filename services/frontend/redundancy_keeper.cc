#include "services/frontend/redundancy_keeper.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "services/frontend/shard_table.h"

namespace vswap {
namespace {

constexpr size_t kMassMin = 4;
// Silent for more, a node counts as one that does not answer, though it may only be slow.
constexpr int kPatientLooks = 2;
constexpr int kPauseMax = 32;

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
  MakeSets();
  MoveDegraded();
  LookAfter(options_.look);
}

void RedundancyKeeper::Ask(const Placement::Member& member) {
  {
    MutexLock lock(mutex_);
    Heard& heard = heard_[&member];
    if (++heard.unanswered > kPatientLooks) {
      member.answers = false;
    }
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
    size_t all = 0;  // that were alive
    std::vector<const Placement::Member*> silent;
  };
  std::map<Tier, Count> tiers;
  MutexLock lock(mutex_);
  for (const auto& [member, heard] : heard_) {
    if (member->dead) {
      continue;
    }
    Count& count = tiers[member->tier];
    ++count.all;
    if (heard.unanswered > options_.silent_looks_max) {
      count.silent.push_back(member);
    }
  }
  for (const auto& [tier, count] : tiers) {
    const bool mass = count.all >= kMassMin && 2 * count.silent.size() > count.all;
    for (const Placement::Member* member : count.silent) {
      member->dead = !mass;
    }
  }
}

void RedundancyKeeper::MakeSets() {
  std::vector<PresentNode> present;
  for (const Placement::Member* member : context_.placement.Members()) {
    if (!member->dead && !member->draining) {
      present.push_back({member->id, member->incarnation});
    }
  }
  {
    MutexLock lock(mutex_);
    if (present == settled_ || making_sets_.exchange(true)) {
      return;
    }
  }
  MakeMissingSet(coordinator_, context_.placement, present,
                 [weak = weak_from_this(), present](const StatusOr<bool>& missing) {
                   const auto self = weak.lock();
                   if (self == nullptr) {
                     return;
                   }
                   if (!missing.ok()) {
                     spdlog::warn("making a set: {}", std::string(MessageOf(missing.status())));
                   } else if (!*missing) {
                     MutexLock lock(self->mutex_);
                     self->settled_ = present;
                   }
                   self->making_sets_ = false;
                 });
}

void RedundancyKeeper::MoveDegraded() {
  {
    MutexLock lock(mutex_);
    if (moving_ || --pause_left_ > 0) {
      return;
    }
  }
  const Placement& placement = context_.placement;
  std::vector<SetId> movable = placement.DegradedSets();
  std::erase_if(movable, [&](SetId set) { return !placement.ChooseBetter(set); });
  std::vector<std::shared_ptr<Shard>> shards = context_.shards.All();
  std::erase_if(shards, [&](const auto& shard) { return shard->PagesOn(movable) == 0; });
  if (shards.empty()) {
    return;
  }
  moving_ = true;
  MovePages(
      context_, std::move(shards),
      {.source =
           [movable](Shard& shard) {
             std::vector<NamedEntry> entries;
             shard.Inspect([&](const EntryTable& table) { entries = table.EntriesOn(movable); });
             return entries;
           },
       .target =
           [self = shared_from_this(), &placement](SetId from) {
             return self->stopped_ ? std::nullopt : placement.ChooseBetter(from);
           },
       .pages_per_second = options_.pages_per_second},
      [self = shared_from_this()](uint64_t moved) { self->EndMove(moved); });
}

void RedundancyKeeper::EndMove(uint64_t moved) {
  context_.counters.rebuilt += moved;
  MutexLock lock(mutex_);
  pause_ = moved > 0 ? 0 : std::clamp(2 * pause_, 1, kPauseMax);
  pause_left_ = pause_;
  moving_ = false;
}

}  // namespace vswap
