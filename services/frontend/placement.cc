#include "services/frontend/placement.h"

#include <algorithm>
#include <deque>
#include <functional>

namespace vswap {
namespace {

// Fills that differ by less are alike: they are measured now and then.
constexpr double kFillStep = 0.02;

}  // namespace

struct Placement::State {
  Mutex mutex;
  std::deque<Member> members GUARDED_BY(mutex);
  std::vector<std::unique_ptr<const Table>> tables GUARDED_BY(mutex);
  std::atomic<const Table*> now{nullptr};
  std::atomic<uint64_t> turn{0};

  // Replaces the table by a changed copy.
  void Change(const std::function<void(Table&)>& change) REQUIRES(mutex) {
    auto next = now.load() == nullptr ? std::make_unique<Table>() : std::make_unique<Table>(*now);
    change(*next);
    now = next.get();
    tables.push_back(std::move(next));
  }
};

Placement::Placement() : state_(std::make_unique<State>()) {
  MutexLock lock(state_->mutex);
  state_->Change([](Table&) {});
}

Placement::Placement(Placement&&) noexcept = default;
Placement::~Placement() = default;

const Placement::Table& Placement::Now() const {
  return *state_->now.load(std::memory_order_acquire);
}

void Placement::AddNode(const NodeInfo& info) {
  MutexLock lock(state_->mutex);
  const Table& table = Now();
  if (const auto it = table.members.find(info.id); it != table.members.end()) {
    it->second->incarnation = info.incarnation;
    return;
  }
  Member& member = state_->members.emplace_back(info);
  state_->Change([&](Table& next) { next.members[info.id] = &member; });
}

void Placement::AddSet(SetId set, Tier tier, const std::vector<NodeId>& nodes) {
  MutexLock lock(state_->mutex);
  if (Now().sets.contains(set)) {
    return;
  }
  state_->Change([&](Table& next) {
    Set& added = next.sets[set];
    added.tier = tier;
    for (const NodeId node : nodes) {
      added.nodes.push_back(next.members.at(node));
    }
  });
}

std::optional<SetId> Placement::Choose(Tier tier, std::span<const SetId> tried) const {
  struct Candidate {
    SetId set = 0;
    double fill = 0;
    bool answers = true;
  };
  std::vector<Candidate> candidates;
  for (const auto& [id, set] : Now().sets) {
    if (set.tier != tier || std::ranges::find(tried, id) != tried.end()) {
      continue;
    }
    Candidate candidate{id, 0, true};
    for (const Member* member : set.nodes) {
      candidate.fill = std::max(candidate.fill, member->fill.load());
      candidate.answers = candidate.answers && member->answers;
    }
    candidates.push_back(candidate);
  }
  if (candidates.empty()) {
    return std::nullopt;
  }
  const auto rank = [](const Candidate& c) { return std::pair(!c.answers, c.fill); };
  const Candidate best = *std::ranges::min_element(candidates, {}, rank);
  std::erase_if(candidates, [&](const Candidate& c) {
    return c.answers != best.answers || c.fill > best.fill + kFillStep;
  });
  return candidates[state_->turn++ % candidates.size()].set;
}

const std::vector<const Placement::Member*>& Placement::NodesOf(SetId set) const {
  static const std::vector<const Member*> kNone;
  const Table& table = Now();
  const auto it = table.sets.find(set);
  return it == table.sets.end() ? kNone : it->second.nodes;
}

std::optional<Tier> Placement::TierOf(SetId set) const {
  const Table& table = Now();
  const auto it = table.sets.find(set);
  return it == table.sets.end() ? std::nullopt : std::optional(it->second.tier);
}

const Placement::Member* Placement::Find(NodeId node) const {
  const Table& table = Now();
  const auto it = table.members.find(node);
  return it == table.members.end() ? nullptr : it->second;
}

std::vector<const Placement::Member*> Placement::Members() const {
  std::vector<const Member*> members;
  for (const auto& [id, member] : Now().members) {
    members.push_back(member);
  }
  return members;
}

std::vector<SetId> Placement::SetsWith(NodeId node) const {
  std::vector<SetId> sets;
  for (const auto& [id, set] : Now().sets) {
    if (std::ranges::any_of(set.nodes, [&](const Member* m) { return m->id == node; })) {
      sets.push_back(id);
    }
  }
  return sets;
}

}  // namespace vswap
