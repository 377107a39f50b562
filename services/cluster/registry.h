#pragma once

#include <optional>
#include <string>
#include <vector>

#include "services/cluster/coordinator.h"
#include "vswap/v1/cluster.pb.h"

namespace vswap {

// The coordinator's records of the cluster and its nodes, for processes that start: calls block.

// "PREFIX/NNNNN": decimal, five digits.
std::string NumberedKey(const char* prefix, uint32_t number);

// The cluster's record; made of `wanted` with a random number where there is none.
StatusOr<v1::ClusterRecord> FindOrMakeCluster(Coordinator& coordinator,
                                              const v1::ClusterRecord& wanted, Random& random);

// Waits for it: the first front-end makes it.
StatusOr<v1::ClusterRecord> FindCluster(Coordinator& coordinator);

StatusOr<std::vector<v1::NodeRecord>> ListNodes(Coordinator& coordinator);
// By its name; empty where nobody has it.
StatusOr<std::optional<v1::NodeRecord>> FindNode(Coordinator& coordinator, const std::string& name);

// Tells that the node `wanted.name` is at its address with its incarnation: an earlier one is known
// to be destroyed. A new name gets the number `wanted.node`, or the next where that is 0, and a set
// of its own. ABORTED: others changed the records all the while. FAILED_PRECONDITION: the node is
// of the other tier.
StatusOr<v1::NodeRecord> RegisterNode(Coordinator& coordinator, v1::NodeRecord wanted);

// Makes sets of `copies` nodes for a registered node, each with others of its tier on other
// machines, if possible in other zones, and of few sets: until its incarnation is in two, or there
// are no others. Few sets make the loss of several nodes at once less likely to hit all copies of
// something (copysets). RESOURCE_EXHAUSTED: all numbers of sets are used up.
Status JoinSets(Coordinator& coordinator, const v1::NodeRecord& node, uint32_t copies);

}  // namespace vswap
