#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "services/common/executor.h"
#include "tests/sim/sim_server.h"

namespace vswap {

// Bugs that the service does not have, made by bodies that stand in front of sound ones: each lets
// clients see what they would see if the service had it. The simulation must find every one.
enum class PlantedBug : uint8_t {
  kNone,
  // A move is published although its slot was stored to meanwhile.
  kPublishWithoutComparing,
  // A log write is answered before any replica has it.
  kAcknowledgeBeforeLog,
  // A takeover reads one of two replicas, which may lack the last writes.
  kTakeoverWithoutMerging,
  // A record is deleted when the next one of its slot is put.
  kReleaseBeforePublication,
  // What a log write without content was to prove is taken for proven.
  kNoProof,
  // The log takes writes of owners that were replaced.
  kNoFence,
  // A late duplicate of a store is taken for a new one.
  kDuplicateAppliedTwice,
  // Who may not be the owner any more answers loads from its memory.
  kUnprovenLoads,
  // What a store has left on a set is deleted on all its nodes, also those of the set that it went
  // to then.
  kLeftoverDeletedEverywhere,
  // Who compares a node's records with its table deletes what it does not name there on all nodes.
  kOrphansByNameOnly,
  // A page is put when one of two nodes has it.
  kOneCopyAcknowledged,
  // Whoever answers for a node is taken for the incarnation that is registered.
  kUnknownIncarnationBelieved,
  // A late duplicate of a free of an allocated space's entries is taken for a new one.
  kFreeAppliedTwice,
  // The same with an allocation.
  kAllocationAppliedTwice,
  // Answers to allocate, duplicate and free are not in the log.
  kAnswersNotLogged,
  // A log that went with its machine goes on, empty, as the incarnation that it was.
  kLogIncarnationKept,
};

inline const char* Name(PlantedBug bug) {
  static constexpr const char* kNames[] = {"none",
                                           "publish without comparing",
                                           "acknowledge before log",
                                           "takeover without merging",
                                           "release before publication",
                                           "no proof",
                                           "no fence",
                                           "duplicate applied twice",
                                           "unproven loads",
                                           "leftover deleted everywhere",
                                           "orphans by name only",
                                           "one copy acknowledged",
                                           "unknown incarnation believed",
                                           "free applied twice",
                                           "allocation applied twice",
                                           "answers not logged",
                                           "log incarnation kept"};
  return kNames[static_cast<size_t>(bug)];
}

// Puts the bug's bodies, if it has any there, in front of the servers. They outlive each other.
void PlantAtServers(PlantedBug bug, const std::vector<SimServer*>& servers, uint64_t seed);

// What an owner calls in place of the nodes 1, 2, ...; none where the bug is elsewhere.
// `registered`: the incarnation that the owner knows of. Ends with the owner.
std::vector<std::unique_ptr<Node>> PlantAtNodes(
    PlantedBug bug, const std::vector<Node*>& nodes,
    const std::function<Incarnation(NodeId)>& registered, Executor& executor);

// What an owner writes to in place of `log`; null where the bug is elsewhere. Ends with the owner.
std::unique_ptr<TableLog> PlantAtOwner(PlantedBug bug, TableLog& log, Executor& executor);

}  // namespace vswap
