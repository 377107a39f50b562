#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <vector>

#include "services/common/mutex.h"
#include "services/frontend/context.h"
#include "services/frontend/mover.h"

namespace vswap {

// Gives pages the copies that are wanted: those on sets with too few lasting copies (see Placement)
// are moved to sets that have more, as soon as there are such. That is rebuild, after a node died
// or came back empty; drain, where a node is to be emptied; and repair of what was stored with
// fewer copies.
//
// A node is dead once it was silent for `silent_looks_max` looks, unless so many are that it is
// more likely this front-end that hears nothing: of at least four nodes of a tier, more than half.
// One that is heard again is alive; what was moved meanwhile is deleted there.
//
// Looks every `look`; one move at a time, in the background lane, slower than `pages_per_second`.
// Thread-safe; everything in the context outlives it.
class RedundancyKeeper : public std::enable_shared_from_this<RedundancyKeeper> {
 public:
  struct Options {
    Duration look = std::chrono::seconds(1);
    int silent_looks_max = 5;
    uint64_t pages_per_second = 20000;
  };

  RedundancyKeeper(const Options& options, const FrontEndContext& context)
      : options_(options), context_(context) {}

  void Start() { LookAfter(options_.look); }
  // The batch that is being moved goes on.
  void Stop() { stopped_ = true; }
  // Pages of the shards served here with fewer lasting copies than are wanted, as of the last look.
  uint64_t degraded_pages() const { return degraded_pages_; }

 private:
  struct Heard {
    int unanswered = 0;  // looks since the last answer
    bool asked = false;  // a question is under way
  };

  void LookAfter(Duration delay);
  void Look();
  void Ask(const Placement::Member& member);
  void JudgeSilence();
  void MoveDegraded();

  const Options options_;
  const FrontEndContext context_;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> moving_{false};
  std::atomic<uint64_t> degraded_pages_{0};
  Mutex mutex_;
  std::map<const Placement::Member*, Heard> heard_ GUARDED_BY(mutex_);
};

}  // namespace vswap
