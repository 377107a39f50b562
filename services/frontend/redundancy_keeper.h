#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "services/common/mutex.h"
#include "services/frontend/context.h"
#include "services/frontend/mover.h"
#include "services/frontend/set_making.h"

namespace vswap {

// Gives pages the copies that are wanted. First those of which a copy was found missing or damaged
// (Repairs) are moved to any set as good. Then those on sets with too few lasting copies (see
// Placement) are moved to sets that have more, as soon as there are such: that is rebuild, after a
// node died or came back empty, and repair of what was stored with fewer copies. Last, drain: those
// on nodes that are to be emptied, at the rate that the operator gave.
//
// A node is dead once it was silent for `silent_looks_max` looks, unless so many are that it is
// more likely this front-end that hears nothing: of at least four nodes of a tier that it has heard
// and that do not drain, more than half. One that is heard again is alive; what was moved meanwhile
// is deleted there. Nodes whose partners are gone form new sets with others.
//
// Looks every `look`; one move at a time, in the background lane, which yields to others, slower
// than `pages_per_second`, and less and less often while nothing can be moved. Thread-safe;
// everything it is given outlives it.
class RedundancyKeeper : public std::enable_shared_from_this<RedundancyKeeper> {
 public:
  struct Options {
    Duration look = std::chrono::seconds(1);
    int silent_looks_max = 5;
    uint64_t pages_per_second = 20000;
    // Front-ends that share the rate of a drain.
    std::function<size_t()> front_ends = nullptr;  // null: one
  };

  RedundancyKeeper(const Options& options, const FrontEndContext& context, Coordinator& coordinator)
      : options_(options), context_(context), coordinator_(coordinator) {}

  void Start() { LookAfter(options_.look); }
  // The batch that is being moved goes on.
  void Stop() { stopped_ = true; }
  // Why degraded pages are not moved now; empty: nothing keeps them.
  std::string WaitsFor() const;

 private:
  struct Heard {
    int unanswered = 0;  // looks since the last answer
    bool asked = false;  // a question is under way
    bool ever = false;   // it has answered
  };

  void LookAfter(Duration delay);
  void Look();
  void Ask(const Placement::Member& member);
  void JudgeSilence();
  void MakeSets();
  // In the order of their urgency.
  enum Work : uint8_t { kRepair, kRebuild, kDrain, kWorks };
  struct Backoff {
    int pause = 0;  // looks to wait after a move without success
    int left = 0;   // of them
    const char* obstacle = "";
  };
  struct Repairing;

  void Move();
  // False where there is nothing to do.
  bool Begin(Work work);
  bool MoveDamaged();
  void EndRepairs(const Repairing& repairing);
  // Pages of sets that have too few lasting copies even if no node drained, or only of the others.
  bool MoveDegraded(Work work);
  // Of these sets, those whose pages have somewhere to go.
  std::vector<SetId> MovableSets(Work work) const;
  bool HasPagesOn(const std::vector<SetId>& sets) const;
  // Whether there is more urgent work that is not waiting.
  bool GivesWay(Work work) const;
  uint64_t DrainRate() const;
  // `interrupted`: it gave way, or was stopped.
  void EndMove(Work work, const MoveResult& result, bool interrupted);

  const Options options_;
  const FrontEndContext context_;
  Coordinator& coordinator_;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> moving_{false};
  std::atomic<bool> making_sets_{false};
  mutable Mutex mutex_;
  std::map<const Placement::Member*, Heard> heard_ GUARDED_BY(mutex_);
  // Those that have formed all the sets they can.
  std::vector<PresentNode> settled_ GUARDED_BY(mutex_);
  std::array<Backoff, kWorks> backoffs_ GUARDED_BY(mutex_);
};

}  // namespace vswap
