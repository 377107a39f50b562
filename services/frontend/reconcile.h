#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "services/frontend/context.h"
#include "services/frontend/shard.h"

namespace vswap {

// After a takeover, or a node's start: compares what the nodes hold with what the tables say, in
// the background.
//
// Records of earlier epochs that no entry names are deleted, once a log write later than the
// inventory has proved that this process still owns the shard. Entries whose record was not listed
// are repaired from their other copies, and loaded once, which marks them lost if they are. `done`
// gets the nodes that could not be listed, or have lost too many records at once: they are to be
// compared later.
void Reconcile(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
               std::vector<NodeId> nodes, std::function<void(std::vector<NodeId> skipped)> done);

}  // namespace vswap
