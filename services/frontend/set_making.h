#pragma once

#include <compare>
#include <functional>
#include <vector>

#include "services/cluster/coordinator.h"
#include "services/frontend/placement.h"

namespace vswap {

// A node that may keep new pages.
struct PresentNode {
  NodeId id = 0;
  Incarnation incarnation = 0;
  auto operator<=>(const PresentNode&) const = default;
};

// Makes a set that one of these nodes is to be in (see FindMissingSet), with as many copies as the
// placement wants, in the coordinator's records. Nodes make their sets when they join; this is for
// those whose partners were lost. Answers whether one was missing: then there may be more.
void MakeMissingSet(Coordinator& coordinator, const Placement& placement,
                    std::vector<PresentNode> present, Callback<bool> done);

}  // namespace vswap
