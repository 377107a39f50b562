#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "services/frontend/context.h"
#include "services/frontend/shard.h"

namespace vswap {

// The pages of a shard that are to be moved; asked for once a shard, when its turn has come.
using MoveSource = std::function<std::vector<NamedEntry>(Shard&)>;
// Every page of the tier.
MoveSource AllOf(Tier tier);

// Where pages of the set go; asked for once a batch. Empty: nowhere now, and they stay.
using MoveTarget = std::function<std::optional<SetId>(SetId from)>;

struct MoveOptions {
  MoveSource source;
  MoveTarget target;
  // Tried at most, on average; asked for once a batch. Null: as many as can be.
  std::function<uint64_t()> pages_per_second = nullptr;
  std::atomic<uint64_t>* counter = nullptr;  // of pages moved; null: none
  // Told of pages of which no sound copy was found; `unheard`: some node that may have one did not
  // answer. Null: nobody is.
  std::function<void(ShardId, const NamedEntry&, bool unheard)> on_unsound = nullptr;
  // Whether nodes of both sets have the old record, so that its room counts for the new one.
  bool replaces = true;
  // Leaves nodes and processors to others most of the time: batches are small, and after each comes
  // a rest of three times what it took, so that moves are slow where everything is.
  bool yields = false;
};

struct MoveResult {
  uint64_t moved = 0;    // pages
  bool no_room = false;  // some target refused for want of room
};

// The one mechanism that changes what backs a page without the host noticing: copy as stored, node
// to node, under a new version; publish only if the whole word is unchanged; retire the old record.
//
// Moves the pages of the source to other sets, in batches, one at a time; once there is no room for
// those of a set, the others of that set stay. A target has its room reserved before a byte is
// written: a node's Put begins with that. Pages that are being changed meanwhile stay, and those of
// a shard that is given up; a failed copy leaves the page where it was. Of a page with several
// copies any sound one will do.
void MovePages(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
               MoveOptions options, std::function<void(const MoveResult&)> done);

}  // namespace vswap
