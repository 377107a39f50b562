#include "services/frontend/writeback.h"

#include <algorithm>
#include <utility>

#include "services/frontend/shard_table.h"

namespace vswap {

void Writeback::LookAfter(Duration delay) {
  context_.executor.PostAfter(delay, [self = shared_from_this()] {
    if (!self->stopped_) {
      self->Look();
    }
  });
}

void Writeback::Look() {
  struct Round {
    Mutex mutex;
    Fills fills GUARDED_BY(mutex);
    size_t missing GUARDED_BY(mutex) = 0;
  };
  const auto round = std::make_shared<Round>();
  const std::vector<const Placement::Member*> members = context_.placement.Members();
  {
    MutexLock lock(round->mutex);
    round->missing = members.size();
  }
  for (const Placement::Member* member : members) {
    member->node->Statistics(
        [self = shared_from_this(), round, member](const StatusOr<NodeStatistics>& statistics) {
          member->answers = statistics.ok();
          Fills fills;
          {
            MutexLock lock(round->mutex);
            if (statistics.ok()) {
              member->fill = FillOf(*statistics);
              round->fills[member] = member->fill;
            }
            if (--round->missing != 0) {
              return;
            }
            fills.swap(round->fills);
          }
          self->Decide(fills);
        });
  }
}

bool Writeback::HasRoom(const Fills& fills) const {
  const std::optional<SetId> target = context_.placement.Choose(Tier::kPhysical);
  return target && std::ranges::all_of(context_.placement.CopiesOf(*target), [&](const auto& copy) {
           const auto it = fills.find(copy.member);
           return it != fills.end() && it->second < 1;
         });
}

void Writeback::Decide(const Fills& fills) {
  const Placement::Member* fullest = nullptr;
  double fill = options_.start;
  for (const auto& [member, of_node] : fills) {
    if (member->tier == Tier::kCompressed && of_node > fill) {
      fullest = member;
      fill = of_node;
    }
  }
  if (fullest == nullptr) {
    sleep_ = {};
    return LookAfter(options_.interval);
  }
  if (!HasRoom(fills)) {
    return Sleep();
  }
  const double part = (fill - options_.end) / fill;
  MovePages(context_, context_.shards.All(),
            {.source =
                 [self = shared_from_this(), part,
                  sets = context_.placement.SetsWith(fullest->id)](Shard& shard) {
                   return self->stopped_ ? std::vector<NamedEntry>()
                                         : shard.TakeColdest(sets, part);
                 },
             .target = [&placement = context_.placement](
                           SetId set) { return placement.ChooseAsGood(set, Tier::kPhysical); },
             .counter = &context_.counters.written_back},
            [self = shared_from_this()](const MoveResult& result) { self->End(result.moved); });
}

void Writeback::End(uint64_t moved) {
  if (moved == 0) {
    return Sleep();
  }
  sleep_ = {};
  LookAfter(options_.interval);
}

void Writeback::Sleep() {
  ++context_.counters.writeback_sleeps;
  sleep_ = std::clamp(2 * sleep_, options_.interval, options_.sleep_max);
  LookAfter(sleep_);
}

}  // namespace vswap
