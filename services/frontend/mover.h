#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "services/frontend/context.h"
#include "services/frontend/shard.h"

namespace vswap {

// The one mechanism that changes what backs a page without the host noticing: copy as stored, node
// to node, under a new version; publish only if the whole word is unchanged; retire the old record.
//
// Moves every page of tier `from` to a set of tier `to`, in batches, one at a time, until none is
// left or the target refuses for want of room. `done` gets the number of pages that stayed. Pages
// that are being changed meanwhile count as stayed; a failed copy leaves the page where it was.
void MovePages(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
               Tier from, Tier to, std::function<void(uint64_t left)> done);

}  // namespace vswap
