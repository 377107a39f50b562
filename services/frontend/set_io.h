#pragma once

#include <functional>
#include <vector>

#include "services/cluster/node.h"
#include "services/frontend/placement.h"

namespace vswap {

// Puts pages on every node of a set. The outcome of a page is kOk only if every node kept it; else
// the first other code, or kUnavailable where a node's effect is unknown: then some node may hold
// it, and the caller retires it.
void PutToSet(const Placement& placement, SetId set, std::vector<PutPage> pages, Lane lane,
              std::function<void(std::vector<PutOutcome>)> done);

}  // namespace vswap
