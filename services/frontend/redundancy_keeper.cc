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
  Move();
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

// One move at a time, of what is most urgent.
void RedundancyKeeper::Move() {
  {
    MutexLock lock(mutex_);
    if (moving_ || --pause_left_ > 0) {
      return;
    }
  }
  moving_ = true;
  if (!MoveDamaged() && !MoveDegraded(false) && !MoveDegraded(true)) {
    MutexLock lock(mutex_);
    pause_ = 0;
    no_room_ = moving_ = false;
  }
}

bool RedundancyKeeper::MoveDamaged() {
  auto pages = std::make_shared<const Repairs::ByShard>(context_.repairs.Take());
  std::vector<std::shared_ptr<Shard>> shards;
  for (const auto& [id, of_shard] : *pages) {
    if (auto shard = context_.shards.Find(id)) {
      shards.push_back(std::move(shard));
    }
  }
  if (shards.empty()) {
    context_.repairs.Done();
    return false;
  }
  MovePages(context_, std::move(shards),
            {.source =
                 [pages](Shard& shard) {
                   std::vector<NamedEntry> entries;
                   for (const auto& [slot, page] : pages->at(shard.id())) {
                     entries.push_back({slot.first, slot.second, page.entry});
                   }
                   return entries;
                 },
             .target = [self = shared_from_this()](SetId from) -> std::optional<SetId> {
               const Placement& placement = self->context_.placement;
               const std::optional<Tier> tier = placement.TierOf(from);
               return tier && !self->stopped_ ? placement.ChooseAsGood(from, *tier) : std::nullopt;
             },
             .pages_per_second = options_.pages_per_second,
             .counter = &context_.counters.repaired},
            [self = shared_from_this(), pages](const MoveResult& result) {
              self->EndRepairs(*pages);
              self->EndMove(result);
            });
  return true;
}

// Those that are as they were are tried again.
void RedundancyKeeper::EndRepairs(const Repairs::ByShard& pages) {
  context_.repairs.Done();
  for (const auto& [id, of_shard] : pages) {
    const auto shard = context_.shards.Find(id);
    for (const auto& [slot, page] : of_shard) {
      const auto [space, offset] = slot;
      if (shard != nullptr && shard->Lookup(space, offset).word == page.entry.word) {
        context_.repairs.Add(id, space, offset, {page.entry, page.tries + 1});
      }
    }
  }
}

bool RedundancyKeeper::MoveDegraded(bool draining) {
  const Placement& placement = context_.placement;
  const std::vector<SetId> movable = MovableSets(draining);
  std::vector<std::shared_ptr<Shard>> shards = context_.shards.All();
  std::erase_if(shards, [&](const auto& shard) { return shard->PagesOn(movable) == 0; });
  if (shards.empty()) {
    return false;
  }
  MovePages(
      context_, std::move(shards),
      {.source =
           [movable](Shard& shard) {
             std::vector<NamedEntry> entries;
             shard.Inspect([&](const EntryTable& table) { entries = table.EntriesOn(movable); });
             return entries;
           },
       .target =
           [self = shared_from_this(), &placement, draining](SetId from) {
             // It may have been told to stop meanwhile, or something may be more urgent.
             const bool go_on = !self->stopped_ && !(draining && self->MustRebuild());
             return go_on ? placement.ChooseBetter(from) : std::nullopt;
           },
       .pages_per_second = draining ? DrainRate() : options_.pages_per_second,
       .counter = &context_.counters.rebuilt},
      [self = shared_from_this()](const MoveResult& result) { self->EndMove(result); });
  return true;
}

std::vector<SetId> RedundancyKeeper::MovableSets(bool draining) const {
  const Placement& placement = context_.placement;
  std::vector<SetId> sets = placement.DegradedSets();
  std::erase_if(sets, [&](SetId set) {
    return placement.OnlyDrains(set) != draining || !placement.ChooseBetter(set);
  });
  return sets;
}

bool RedundancyKeeper::MustRebuild() const {
  const std::vector<SetId> sets = MovableSets(false);
  return context_.repairs.waiting() > 0 ||
         std::ranges::any_of(context_.shards.All(),
                             [&](const auto& shard) { return shard->PagesOn(sets) > 0; });
}

// This front-end's part of the lowest rate that an operator gave.
uint64_t RedundancyKeeper::DrainRate() const {
  uint64_t rate = options_.pages_per_second;
  const size_t front_ends =
      options_.front_ends == nullptr ? 1 : std::max<size_t>(1, options_.front_ends());
  for (const Placement::Member* member : context_.placement.Members()) {
    const uint64_t limit = member->drain_rate;
    if (member->draining && limit != 0) {
      rate = std::min(rate, std::max<uint64_t>(1, limit / front_ends));
    }
  }
  return rate;
}

void RedundancyKeeper::EndMove(const MoveResult& result) {
  MutexLock lock(mutex_);
  pause_ = result.moved == 0 ? std::clamp(2 * pause_, 1, kPauseMax) : 0;
  pause_left_ = pause_;
  no_room_ = result.no_room;
  moving_ = false;
}

std::string RedundancyKeeper::WaitsFor() const {
  const Placement& placement = context_.placement;
  const std::vector<SetId> degraded = placement.DegradedSets();
  const auto shards = context_.shards.All();
  const auto pages_on = [&](const std::vector<SetId>& sets) {
    return std::ranges::any_of(shards, [&](const auto& shard) { return shard->PagesOn(sets) > 0; });
  };
  if (!pages_on(degraded)) {
    return "";
  }
  {
    MutexLock lock(mutex_);
    if (no_room_) {
      return "room: the other nodes are full";
    }
  }
  for (const SetId set : degraded) {
    if (pages_on({set}) && !placement.ChooseBetter(set)) {
      return "nodes: there are too few on other machines for as many copies as are wanted";
    }
  }
  return "";
}

}  // namespace vswap
