#include "services/frontend/placement.h"

#include <algorithm>

namespace vswap {

void Placement::AddSet(SetId set, Tier tier, std::vector<NodeId> nodes) {
  Set& entry = sets_[set];
  entry.tier = tier;
  entry.nodes.clear();
  for (const NodeId node : nodes) {
    entry.nodes.push_back(&members_.at(node));
  }
}

std::optional<SetId> Placement::Choose(Tier tier) const {
  for (const auto& [id, set] : sets_) {
    if (set.tier == tier) {
      return id;
    }
  }
  return std::nullopt;
}

const std::vector<const Placement::Member*>& Placement::NodesOf(SetId set) const {
  static const std::vector<const Member*> kNone;
  const auto it = sets_.find(set);
  return it == sets_.end() ? kNone : it->second.nodes;
}

std::optional<Tier> Placement::TierOf(SetId set) const {
  const auto it = sets_.find(set);
  return it == sets_.end() ? std::nullopt : std::optional(it->second.tier);
}

std::vector<SetId> Placement::SetsWith(NodeId node) const {
  std::vector<SetId> sets;
  for (const auto& [id, set] : sets_) {
    if (std::ranges::any_of(set.nodes, [&](const Member* m) { return m->id == node; })) {
      sets.push_back(id);
    }
  }
  return sets;
}

}  // namespace vswap
