#pragma once

#include <optional>
#include <vector>

#include "vswap/v1/cluster.pb.h"

namespace vswap {

// Which sets a cluster's nodes form.

// Whether the node's incarnation keeps pages of the set.
bool IsIn(const v1::SetRecord& set, const v1::NodeRecord& node);

// Whether its pages and logs move away now.
inline bool IsDraining(const v1::NodeRecord& node) {
  return node.draining() && !node.drain_paused();
}

// Of which a replica of a table log on the node is.
inline uint64_t LogIncarnation(const v1::NodeRecord& node) {
  return node.log_incarnation() != 0 ? node.log_incarnation() : node.incarnation();
}

// The number for a new set, more than any there is.
uint32_t NextSetNumber(const std::vector<v1::SetRecord>& sets);

// The set that is to be made next for the node: of `copies` nodes of its tier on different
// machines, if possible in other zones, and in few sets so far; of fewer, but more than one, where
// there are not so many and it is in none yet. Empty: it is in `enough` already, or there are no
// others for it. Few sets make the loss of several nodes at once less likely to hit
// all copies of something (copysets).
//
// `nodes`: those that may keep new pages, as they are registered now. A set with any other node or
// incarnation in it does not count.
std::optional<v1::SetRecord> FindMissingSet(const std::vector<v1::NodeRecord>& nodes,
                                            const std::vector<v1::SetRecord>& sets,
                                            const v1::NodeRecord& node, uint32_t copies,
                                            int enough);

// For a node that joins; and for one whose partners are gone, which has to be in some set.
inline constexpr int kSetsOfNewNode = 2;
inline constexpr int kSetsOfOldNode = 1;

}  // namespace vswap
