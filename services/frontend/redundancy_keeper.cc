#include "services/frontend/redundancy_keeper.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <tuple>
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
          heard.ever = true;
          member.dead = false;
        }
      });
}

void RedundancyKeeper::JudgeSilence() {
  struct Count {
    size_t lived = 0;
    size_t fell_silent = 0;  // of these
    std::vector<const Placement::Member*> silent;
  };
  std::map<Tier, Count> tiers;
  MutexLock lock(mutex_);
  std::erase_if(heard_, [](const auto& heard) { return heard.first->left.load(); });
  for (const auto& [member, heard] : heard_) {
    if (member->dead) {
      continue;
    }
    Count& count = tiers[member->tier];
    const bool is_silent = heard.unanswered > options_.silent_looks_max;
    if (is_silent) {
      count.silent.push_back(member);
    }
    // Those that drain are stopped on purpose, many of them perhaps.
    if (heard.ever && !member->draining) {
      ++count.lived;
      count.fell_silent += is_silent ? 1 : 0;
    }
  }
  for (const auto& [tier, count] : tiers) {
    const bool mass = count.lived >= kMassMin && 2 * count.fell_silent > count.lived;
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

// One move at a time, of what is most urgent and not waiting.
void RedundancyKeeper::Move() {
  std::array<bool, kWorks> may_begin{};
  {
    MutexLock lock(mutex_);
    if (moving_) {
      return;
    }
    for (size_t work = 0; work < kWorks; ++work) {
      int& left = backoffs_[work].left;
      left = std::max(0, left - 1);
      may_begin[work] = left == 0;
    }
  }
  moving_ = true;
  for (const Work work : {kRepair, kRebuild, kDrain}) {
    if (may_begin[work] && Begin(work)) {
      return;
    }
  }
  moving_ = false;
}

bool RedundancyKeeper::Begin(Work work) {
  if (work == kRepair ? MoveDamaged() : MoveDegraded(work)) {
    return true;
  }
  MutexLock lock(mutex_);
  backoffs_[work] = {};
  return false;
}

struct RedundancyKeeper::Repairing {
  Repairs::ByShard pages;
  mutable Mutex mutex;
  // All nodes were heard, and none has a sound copy.
  std::set<std::tuple<ShardId, SpaceId, Offset>> unsound GUARDED_BY(mutex);
};

bool RedundancyKeeper::MoveDamaged() {
  const auto repairing = std::make_shared<Repairing>();
  repairing->pages = context_.repairs.Take();
  std::vector<std::shared_ptr<Shard>> shards;
  for (const auto& [id, of_shard] : repairing->pages) {
    if (auto shard = context_.shards.Find(id)) {
      shards.push_back(std::move(shard));
    }
  }
  if (shards.empty()) {
    context_.repairs.GiveBack({});
    return false;
  }
  MovePages(
      context_, std::move(shards),
      {.source =
           [repairing](Shard& shard) {
             std::vector<NamedEntry> entries;
             for (const auto& [slot, page] : repairing->pages.at(shard.id())) {
               entries.push_back({slot.first, slot.second, page.entry});
             }
             return entries;
           },
       .target = [self = shared_from_this()](SetId from) -> std::optional<SetId> {
         const Placement& placement = self->context_.placement;
         const std::optional<Tier> tier = placement.TierOf(from);
         return tier && !self->stopped_ ? placement.ChooseAsGood(from, *tier) : std::nullopt;
       },
       .pages_per_second = [self = shared_from_this()] { return self->options_.pages_per_second; },
       .counter = &context_.counters.repaired,
       .on_unsound =
           [repairing](ShardId shard, const NamedEntry& page, bool unheard) {
             if (!unheard) {  // one that is silent may come back with a sound copy
               MutexLock lock(repairing->mutex);
               repairing->unsound.insert({shard, page.space, page.offset});
             }
           },
       // Some node has no old record whose room would count.
       .replaces = false,
       .yields = true},
      [self = shared_from_this(), repairing](const MoveResult& result) {
        self->EndRepairs(*repairing);
        self->EndMove(kRepair, result, self->stopped_);
      });
  return true;
}

// Those that are as they were are tried again.
void RedundancyKeeper::EndRepairs(const Repairing& repairing) {
  Repairs::ByShard rest;
  for (const auto& [id, of_shard] : repairing.pages) {
    const auto shard = context_.shards.Find(id);
    for (const auto& [slot, page] : of_shard) {
      const auto [space, offset] = slot;
      if (shard == nullptr || shard->Lookup(space, offset).word != page.entry.word) {
        continue;
      }
      MutexLock lock(repairing.mutex);
      const int failed = repairing.unsound.contains({id, space, offset}) ? 1 : 0;
      rest[id][slot] = {page.entry, page.tries + failed};
    }
  }
  context_.repairs.GiveBack(rest);
}

bool RedundancyKeeper::MoveDegraded(Work work) {
  const std::vector<SetId> movable = MovableSets(work);
  std::vector<std::shared_ptr<Shard>> shards = context_.shards.All();
  std::erase_if(shards, [&](const auto& shard) { return shard->PagesOn(movable) == 0; });
  if (shards.empty()) {
    return false;
  }
  const auto interrupted = std::make_shared<std::atomic<bool>>(false);
  MovePages(
      context_, std::move(shards),
      {.source =
           [movable](Shard& shard) {
             std::vector<NamedEntry> entries;
             shard.Inspect([&](const EntryTable& table) { entries = table.EntriesOn(movable); });
             return entries;
           },
       .target =
           [self = shared_from_this(), work, interrupted](SetId from) {
             if (self->stopped_ || self->GivesWay(work)) {
               *interrupted = true;
             }
             return *interrupted ? std::nullopt : self->context_.placement.ChooseBetter(from);
           },
       .pages_per_second =
           [self = shared_from_this(), work] {
             return work == kDrain ? self->DrainRate() : self->options_.pages_per_second;
           },
       .counter = &context_.counters.rebuilt,
       .yields = true},
      [self = shared_from_this(), work, interrupted](const MoveResult& result) {
        self->EndMove(work, result, *interrupted);
      });
  return true;
}

std::vector<SetId> RedundancyKeeper::MovableSets(Work work) const {
  const Placement& placement = context_.placement;
  std::vector<SetId> sets = placement.DegradedSets();
  std::erase_if(sets, [&](SetId set) {
    return placement.OnlyDrains(set) != (work == kDrain) || !placement.ChooseBetter(set);
  });
  return sets;
}

bool RedundancyKeeper::HasPagesOn(const std::vector<SetId>& sets) const {
  return std::ranges::any_of(context_.shards.All(),
                             [&](const auto& shard) { return shard->PagesOn(sets) > 0; });
}

bool RedundancyKeeper::GivesWay(Work work) const {
  bool repair = false;
  bool rebuild = false;
  {
    MutexLock lock(mutex_);
    repair = backoffs_[kRepair].left == 0;
    rebuild = work == kDrain && backoffs_[kRebuild].left == 0;
  }
  return (repair && context_.repairs.waiting() > 0) ||
         (rebuild && HasPagesOn(MovableSets(kRebuild)));
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

void RedundancyKeeper::EndMove(Work work, const MoveResult& result, bool interrupted) {
  MutexLock lock(mutex_);
  Backoff& backoff = backoffs_[work];
  const bool fruitless = result.moved == 0 && !interrupted;
  backoff.pause = fruitless ? std::clamp(2 * backoff.pause, 1, kPauseMax) : 0;
  backoff.left = backoff.pause;
  backoff.obstacle = result.no_room ? "room: the other nodes are full"
                     : fruitless    ? "copies: no node that has one answers"
                                    : "";
  moving_ = false;
}

std::string RedundancyKeeper::WaitsFor() const {
  const Placement& placement = context_.placement;
  const std::vector<SetId> degraded = placement.DegradedSets();
  if (!HasPagesOn(degraded) && context_.repairs.waiting() == 0) {
    return "";
  }
  {
    MutexLock lock(mutex_);
    for (const Backoff& backoff : backoffs_) {
      if (*backoff.obstacle != 0) {
        return backoff.obstacle;
      }
    }
  }
  for (const SetId set : degraded) {
    if (HasPagesOn({set}) && !placement.ChooseBetter(set)) {
      return "nodes: there are too few on other machines for as many copies as are wanted";
    }
  }
  return "";
}

}  // namespace vswap
