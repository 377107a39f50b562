#include "services/frontend/placement.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <tuple>

namespace vswap {
namespace {

// Fuller nodes take no pages while there are others: writeback would begin soon.
constexpr double kFillMax = 0.9;
// Fills that differ by less are alike: they are measured now and then.
constexpr double kFillStep = 0.02;
// An empty node gets so many times as many pages as the others.
constexpr double kNewcomersShare = 2;
// Puts are slow that take so many times as long as at the fastest node, and this long.
constexpr int kSlowTimes = 2;
constexpr Duration kSlowMin = std::chrono::milliseconds(5);
// Slow nodes get some pages, so that it shows when they are slow no more.
constexpr double kSlowWeightMin = 0.125;
// The golden ratio: its multiples spread evenly, whatever part of them is taken.
constexpr double kGolden = 0.6180339887498949;
constexpr Duration kHedgeMin = std::chrono::milliseconds(20);
constexpr Duration kHedgeMax = std::chrono::seconds(1);

// What part of its pages a node gets whose puts take so long.
double SpeedOf(Duration put_time, Duration fastest) {
  const Duration slow = std::max(kSlowMin, kSlowTimes * fastest);
  return put_time <= slow ? 1
                          : std::max(kSlowWeightMin, static_cast<double>(slow.count()) /
                                                         static_cast<double>(put_time.count()));
}

}  // namespace

struct Placement::State {
  Mutex mutex;
  std::deque<Member> members GUARDED_BY(mutex);
  std::vector<std::unique_ptr<const Table>> tables GUARDED_BY(mutex);
  std::atomic<const Table*> now{nullptr};
  std::atomic<uint64_t> turn{0};
  std::atomic<uint32_t> wanted_compressed{1};
  std::atomic<uint32_t> wanted_physical{1};

  // Replaces the table by a changed copy.
  void Change(const std::function<void(Table&)>& change) REQUIRES(mutex) {
    auto next = now.load() == nullptr ? std::make_unique<Table>() : std::make_unique<Table>(*now);
    change(*next);
    now = next.get();
    tables.push_back(std::move(next));
  }
};

void CallTime::Note(Duration took) {
  const auto sample = static_cast<double>(took.count());
  const double before = time_;
  if (before == 0) {
    time_ = sample;
    deviation_ = sample / 2;
    return;
  }
  deviation_ = deviation_ + (std::abs(sample - before) - deviation_) / 4;
  time_ = before + (sample - before) / 8;
}

Duration Placement::Member::HedgeAfter() const {
  return std::clamp(loads.LongerThanUsual(), kHedgeMin, kHedgeMax);
}

Placement::Placement() : state_(std::make_unique<State>()) {
  MutexLock lock(state_->mutex);
  state_->Change([](Table&) {});
}

Placement::Placement(Placement&&) noexcept = default;
Placement::~Placement() = default;

const Placement::Table& Placement::Now() const {
  return *state_->now.load(std::memory_order_acquire);
}

void Placement::Want(Tier tier, uint32_t copies) {
  (tier == Tier::kCompressed ? state_->wanted_compressed : state_->wanted_physical) = copies;
}

uint32_t Placement::wanted(Tier tier) const {
  return tier == Tier::kCompressed ? state_->wanted_compressed : state_->wanted_physical;
}

void Placement::AddNode(const NodeInfo& info) {
  MutexLock lock(state_->mutex);
  const Table& table = Now();
  if (const auto it = table.members.find(info.id); it != table.members.end()) {
    it->second->incarnation = info.incarnation;
    it->second->draining = info.draining;
    it->second->drain_rate = info.drain_rate;
    if (it->second->left.exchange(info.left) != info.left) {
      it->second->answers = !info.left;
    }
    return;
  }
  Member& member = state_->members.emplace_back(info);
  state_->Change([&](Table& next) { next.members[info.id] = &member; });
}

void Placement::AddSets(const std::vector<SetInfo>& sets) {
  MutexLock lock(state_->mutex);
  if (std::ranges::all_of(sets,
                          [&](const SetInfo& info) { return Now().sets.contains(info.set); })) {
    return;
  }
  state_->Change([&](Table& next) {
    for (const SetInfo& info : sets) {
      const auto [it, is_new] = next.sets.try_emplace(info.set);
      Set& set = it->second;
      set.tier = is_new ? info.tier : set.tier;
      for (size_t i = 0; is_new && i < info.nodes.size(); ++i) {
        set.copies.push_back({next.members.at(info.nodes[i]),
                              i < info.incarnations.size() ? info.incarnations[i] : 0});
      }
    }
  });
}

struct Placement::Candidate {
  SetId set = 0;
  double fill = 0;       // of its fullest node
  double room = 0;       // what of it counts
  Duration put_time{};   // of its slowest
  uint32_t missing = 0;  // of the copies wanted
  uint32_t leaving = 0;  // of the missing: there for now, on nodes to be emptied
  bool answers = true;
};

std::optional<SetId> Placement::Choose(Tier tier, std::span<const SetId> tried) const {
  std::vector<Candidate> candidates;
  for (const auto& [id, set] : Now().sets) {
    if (set.tier != tier || std::ranges::find(tried, id) != tried.end() ||
        std::ranges::any_of(set.copies,
                            [](const Copy& c) { return c.destroyed() || c.member->left; })) {
      continue;
    }
    Candidate candidate{.set = id};
    for (const Copy& copy : set.copies) {
      candidate.fill = std::max(candidate.fill, copy.member->fill.load());
      candidate.put_time = std::max(candidate.put_time, copy.member->puts.smoothed());
      candidate.answers = candidate.answers && copy.member->answers;
      candidate.leaving += copy.member->draining ? 1 : 0;
    }
    candidate.missing = wanted(tier) - LastingCopies(set);
    candidate.leaving = std::min(candidate.leaving, candidate.missing);
    candidates.push_back(candidate);
  }
  if (candidates.empty()) {
    return std::nullopt;
  }
  // Where copies must be missing, rather one that will than one that is.
  const auto kind = [](const Candidate& c) {
    return std::tuple(!c.answers, c.missing, c.missing - c.leaving);
  };
  const auto rank = [&](const Candidate& c) { return std::pair(kind(c), c.fill); };
  const Candidate best = *std::ranges::min_element(candidates, {}, rank);
  std::erase_if(candidates, [&](const Candidate& c) { return kind(c) != kind(best); });
  for (Candidate& candidate : candidates) {
    candidate.room = best.fill < kFillMax ? std::max(0.0, kFillMax - candidate.fill)
                     : candidate.fill <= best.fill + kFillStep ? 1
                                                               : 0;
  }
  return TakeTurn(candidates).set;
}

const Placement::Candidate& Placement::TakeTurn(const std::vector<Candidate>& candidates) const {
  std::vector<double> rooms;
  Duration fastest{};  // of those that were measured; 0: none was
  for (const Candidate& candidate : candidates) {
    if (candidate.room > 0) {
      rooms.push_back(candidate.room);
    }
    const Duration put_time = candidate.put_time;
    if (put_time != Duration() && (fastest == Duration() || put_time < fastest)) {
      fastest = put_time;
    }
  }
  std::ranges::sort(rooms);
  const double room_max = kNewcomersShare * rooms[(rooms.size() - 1) / 2];
  std::vector<double> ends;  // of each one's part of the whole
  double end = 0;
  for (const Candidate& candidate : candidates) {
    end += SpeedOf(candidate.put_time, fastest) * std::min(candidate.room, room_max);
    ends.push_back(end);
  }
  const double at = std::fmod(kGolden * static_cast<double>(state_->turn++), 1.0) * end;
  const auto turn = std::ranges::upper_bound(ends, at);
  return candidates[std::min<size_t>(turn - ends.begin(), candidates.size() - 1)];
}

uint32_t Placement::LastingCopies(const Set& set) const {
  const auto lasting = std::ranges::count_if(
      set.copies, [](const Copy& copy) { return !copy.gone() && !copy.member->draining; });
  return std::min(static_cast<uint32_t>(lasting), wanted(set.tier));
}

const Placement::Set* Placement::FindSet(SetId set) const {
  const Table& table = Now();
  const auto it = table.sets.find(set);
  return it == table.sets.end() ? nullptr : &it->second;
}

uint32_t Placement::LastingCopies(SetId set) const {
  const Set* const found = FindSet(set);
  return found == nullptr ? 0 : LastingCopies(*found);
}

std::optional<SetId> Placement::ChooseBetter(SetId set) const {
  const std::optional<Tier> tier = TierOf(set);
  const std::optional<SetId> best = tier ? Choose(*tier) : std::nullopt;
  return best && LastingCopies(*best) > LastingCopies(set) ? best : std::nullopt;
}

std::optional<SetId> Placement::ChooseAsGood(SetId set, Tier tier) const {
  const std::optional<SetId> best = Choose(tier);
  return best && LastingCopies(*best) >= std::min(LastingCopies(set), wanted(tier)) ? best
                                                                                    : std::nullopt;
}

bool Placement::Degraded(SetId set) const {
  const Set* const found = FindSet(set);
  return found != nullptr && Degraded(*found);
}

bool Placement::OnlyDrains(SetId set) const {
  const auto kept =
      std::ranges::count_if(CopiesOf(set), [](const Copy& copy) { return !copy.gone(); });
  const std::optional<Tier> tier = TierOf(set);
  return tier && static_cast<uint32_t>(kept) >= wanted(*tier);
}

std::vector<SetId> Placement::DegradedSets() const {
  std::vector<SetId> degraded;
  for (const auto& [id, set] : Now().sets) {
    if (Degraded(set)) {
      degraded.push_back(id);
    }
  }
  return degraded;
}

std::vector<SetId> Placement::SetsAtRisk() const {
  std::vector<SetId> sets;
  for (const auto& [id, set] : Now().sets) {
    const auto silent =
        std::ranges::any_of(set.copies, [](const Copy& copy) { return !copy.member->answers; });
    if (silent || Degraded(set)) {
      sets.push_back(id);
    }
  }
  return sets;
}

const std::vector<Placement::Copy>& Placement::CopiesOf(SetId set) const {
  static const std::vector<Copy> kNone;
  const Set* const found = FindSet(set);
  return found == nullptr ? kNone : found->copies;
}

std::optional<Tier> Placement::TierOf(SetId set) const {
  const Set* const found = FindSet(set);
  return found == nullptr ? std::nullopt : std::optional(found->tier);
}

const Placement::Member* Placement::Find(NodeId node) const {
  const Table& table = Now();
  const auto it = table.members.find(node);
  return it == table.members.end() ? nullptr : it->second;
}

std::vector<const Placement::Member*> Placement::Members() const {
  std::vector<const Member*> members;
  for (const auto& [id, member] : Now().members) {
    if (!member->left) {
      members.push_back(member);
    }
  }
  return members;
}

bool Placement::Keeps(NodeId node, const Set& set) {
  return std::ranges::any_of(
      set.copies, [&](const Copy& copy) { return copy.member->id == node && !copy.destroyed(); });
}

std::vector<SetId> Placement::SetsWith(NodeId node) const {
  std::vector<SetId> sets;
  for (const auto& [id, set] : Now().sets) {
    if (Keeps(node, set)) {
      sets.push_back(id);
    }
  }
  return sets;
}

bool Placement::Keeps(NodeId node, SetId set) const {
  const Set* const found = FindSet(set);
  return found != nullptr && Keeps(node, *found);
}

bool Placement::ShareNode(SetId a, SetId b) const {
  return std::ranges::any_of(CopiesOf(a), [&](const Copy& copy) {
    return !copy.destroyed() && Keeps(copy.member->id, b);
  });
}

const Placement::Copy* NextCopy(const std::vector<Placement::Copy>& copies, size_t first,
                                uint32_t* asked) {
  std::optional<size_t> next;
  for (size_t i = 0; i < copies.size(); ++i) {
    const size_t at = (first + i) % copies.size();
    const bool may_be_asked = (*asked >> at & 1) == 0 && !copies[at].destroyed();
    if (may_be_asked && (!next || (copies[at].member->answers && !copies[*next].member->answers))) {
      next = at;
    }
  }
  if (!next) {
    return nullptr;
  }
  *asked |= uint32_t{1} << *next;
  return &copies[*next];
}

}  // namespace vswap
