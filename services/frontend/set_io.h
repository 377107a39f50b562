#pragma once

#include <functional>
#include <vector>

#include "services/cluster/node.h"
#include "services/frontend/context.h"

namespace vswap {

struct SetPut {
  PutPage page;
  // The set that keeps the record of which page.replaces_bytes tells: only its nodes are told so.
  SetId replaces = 0;
};

// Puts pages on every node of a set. The outcome of a page is kOk only if every node kept it; else
// the first other code, or kUnavailable where a node's effect is unknown: then some node may hold
// it, and the caller retires it.
void PutToSet(const FrontEndContext& context, SetId set, const std::vector<SetPut>& puts, Lane lane,
              std::function<void(std::vector<PutOutcome>)> done);

}  // namespace vswap
