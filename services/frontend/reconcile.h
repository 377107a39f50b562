#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "services/frontend/context.h"
#include "services/frontend/shard.h"

namespace vswap {

// After a start: compares what the nodes hold with what the tables say, in the background.
//
// Records of earlier epochs that no entry names are deleted, once a log write later than the
// inventory has proved that this process still owns the shard. Entries of earlier epochs whose
// record was not listed are loaded once, which marks them lost if they are. `done` runs when every
// node was compared; a node that cannot be listed is skipped: nothing of it is judged.
void Reconcile(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
               std::function<void()> done);

}  // namespace vswap
