#pragma once

#include <functional>
#include <vector>

#include "services/cluster/table_log.h"
#include "services/frontend/context.h"
#include "services/frontend/shard.h"

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

// To be called once words are published whose pages were put since node_starts was `starts_before`.
// A node that has started meanwhile may have lost what it had answered for, and may have been
// compared before these words could be seen: their copies are made anew. Words that the shard does
// not hold are left out.
void RepairIfStarted(const FrontEndContext& context, uint64_t starts_before, const Shard& shard,
                     const std::vector<SlotRecord>& records);

}  // namespace vswap
