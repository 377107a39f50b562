#include "services/cluster/set_rules.h"

#include <algorithm>
#include <tuple>

namespace vswap {
bool IsIn(const v1::SetRecord& set, const v1::NodeRecord& node) {
  for (int i = 0; i < set.nodes_size() && i < set.incarnations_size(); ++i) {
    if (set.nodes(i) == node.node() && set.incarnations(i) == node.incarnation()) {
      return true;
    }
  }
  return false;
}

uint32_t NextSetNumber(const std::vector<v1::SetRecord>& sets) {
  uint32_t next = 1;
  for (const v1::SetRecord& set : sets) {
    next = std::max(next, set.set() + 1);
  }
  return next;
}

namespace {

long SetsWith(const std::vector<v1::SetRecord>& sets, const v1::NodeRecord& node) {
  return std::ranges::count_if(sets, [&](const auto& set) { return IsIn(set, node); });
}

// Those whose nodes are all there, at least `least` of them.
std::vector<v1::SetRecord> GoodSets(const std::vector<v1::NodeRecord>& nodes,
                                    const std::vector<v1::SetRecord>& sets, int least) {
  std::vector<v1::SetRecord> good;
  std::ranges::copy_if(sets, std::back_inserter(good), [&](const v1::SetRecord& set) {
    const auto there = std::ranges::count_if(
        nodes, [&](const v1::NodeRecord& member) { return IsIn(set, member); });
    return there >= least && there == set.nodes_size();
  });
  return good;
}

// The nodes of a new set of so many, `node` among them, given the sets that there are of as many.
// Fewer where there are no others.
std::vector<v1::NodeRecord> ChooseNodes(const std::vector<v1::NodeRecord>& nodes,
                                        const std::vector<v1::SetRecord>& good,
                                        const v1::NodeRecord& node, uint32_t copies) {
  const auto together = [&](const v1::NodeRecord& other) {
    return std::ranges::any_of(
        good, [&](const auto& set) { return IsIn(set, node) && IsIn(set, other); });
  };
  std::vector<v1::NodeRecord> chosen{node};
  while (chosen.size() < copies) {
    const auto rank = [&](const v1::NodeRecord& other) {
      const bool same_zone = std::ranges::any_of(
          chosen, [&](const auto& member) { return member.zone() == other.zone(); });
      return std::tuple(same_zone, SetsWith(good, other), other.node());
    };
    const v1::NodeRecord* best = nullptr;
    for (const v1::NodeRecord& other : nodes) {
      const bool usable = other.tier() == node.tier() && !together(other) &&
                          std::ranges::none_of(chosen, [&](const auto& member) {
                            return member.machine() == other.machine();
                          });
      if (usable && (best == nullptr || rank(other) < rank(*best))) {
        best = &other;
      }
    }
    if (best == nullptr) {
      break;
    }
    chosen.push_back(*best);
  }
  return chosen;
}

}  // namespace

std::optional<v1::SetRecord> FindMissingSet(const std::vector<v1::NodeRecord>& nodes,
                                            const std::vector<v1::SetRecord>& sets,
                                            const v1::NodeRecord& node, uint32_t copies,
                                            int enough) {
  const bool may_keep_pages = std::ranges::any_of(nodes, [&](const v1::NodeRecord& other) {
    return other.node() == node.node() && other.incarnation() == node.incarnation();
  });
  const auto good = GoodSets(nodes, sets, static_cast<int>(copies));
  if (copies < 2 || !may_keep_pages || SetsWith(good, node) >= enough) {
    return std::nullopt;
  }
  const std::vector<v1::NodeRecord> chosen = ChooseNodes(nodes, good, node, copies);
  const bool fewer = chosen.size() < copies;
  if (chosen.size() < 2 || (fewer && SetsWith(GoodSets(nodes, sets, 2), node) > 0)) {
    return std::nullopt;
  }
  v1::SetRecord made;
  made.set_set(NextSetNumber(sets));
  made.set_tier(node.tier());
  for (const v1::NodeRecord& member : chosen) {
    made.add_nodes(member.node());
    made.add_incarnations(member.incarnation());
  }
  return made;
}

}  // namespace vswap
