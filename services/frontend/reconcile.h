#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "services/frontend/context.h"
#include "services/frontend/shard.h"

namespace vswap {

struct ReconcileOptions {
  // Damaged records count as not listed. The nodes read every record that an entry may name.
  bool verify = false;
  uint64_t records_per_second = 0;  // listed at most; 0: as many as can be
  // Asked for between the pieces of a listing: then what is left is skipped. Null: never.
  std::function<bool()> gives_way = nullptr;
};

// Compares what the nodes hold with what the tables say, in the background, one node at a time:
// after a takeover, after a node's start, and now and then.
//
// Records that no entry names, or may come to name (Shard::MayBeNamed), are deleted, once a log
// write later than the inventory has proved that this process still owns the shard. Entries whose
// record the node does not have, or not whole, are repaired from their other copies, and loaded
// once, which marks them lost if they are. `done` gets the nodes that could not be listed, or have
// lost too many records at once, or were skipped, or hold records that no entry names of a shard
// whose log does not answer: they are to be compared later.
void Reconcile(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
               std::vector<NodeId> nodes, ReconcileOptions options,
               std::function<void(std::vector<NodeId> skipped)> done);

}  // namespace vswap
