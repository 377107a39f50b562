#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "services/cluster/coordinator.h"
#include "vswap/v1/cluster.pb.h"

namespace vswap {

// The coordinator's records of the cluster and its nodes, for processes that start: calls block.

// DATA_LOSS: what the coordinator has under the key is no such record.
Status DamagedRecord(const std::string& key);

// "PREFIX/NNNNN": decimal, five digits.
std::string NumberedKey(const char* prefix, uint32_t number);

// Of the system's clock.
uint64_t UnixTimeMs();

// The cluster's record; made of `wanted` with a random number where there is none. Tries for a
// minute where the coordinator does not answer.
StatusOr<v1::ClusterRecord> FindOrMakeCluster(Coordinator& coordinator,
                                              const v1::ClusterRecord& wanted, Random& random);

// Waits for it: the first front-end makes it.
StatusOr<v1::ClusterRecord> FindCluster(Coordinator& coordinator);

StatusOr<std::vector<v1::NodeRecord>> ListNodes(Coordinator& coordinator);
// By its name; empty where nobody has it.
StatusOr<std::optional<v1::NodeRecord>> FindNode(Coordinator& coordinator, const std::string& name);

// Tells that the node `wanted.name` is at its address with its incarnation: an earlier one is known
// to be destroyed, and its drain ends with it. A node that had left is back. A new name gets the
// number `wanted.node`, or the next where that is 0, and a set of its own. ABORTED: others changed
// the records all the while. FAILED_PRECONDITION: the node is of the other tier, or on the machine
// of one that keeps copies of the same pages.
StatusOr<v1::NodeRecord> RegisterNode(Coordinator& coordinator, v1::NodeRecord wanted);

// Makes a set, if none has its number and its nodes' records are as they were seen: `revisions` by
// node. RESOURCE_EXHAUSTED: all numbers of sets are used up.
StatusOr<Transaction> MakeSet(const v1::SetRecord& set,
                              const std::map<uint32_t, uint64_t>& revisions);

// Makes the sets of `copies` nodes that a registered node is to be in (see FindMissingSet).
// RESOURCE_EXHAUSTED: all numbers of sets are used up. ABORTED: others changed the sets all the
// while.
Status JoinSets(Coordinator& coordinator, const v1::NodeRecord& node, uint32_t copies);

}  // namespace vswap
