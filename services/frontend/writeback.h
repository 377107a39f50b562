#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <vector>

#include "services/frontend/context.h"
#include "services/frontend/mover.h"

namespace vswap {

// Keeps room in the compressed tier: once a node of it is fuller than `start`, the coldest of its
// pages go to the physical tier, until it is at `end`. Cold: stored long ago and not loaded since
// the last look. New pages find room in memory then, and what went to the disk was not in use.
//
// Bad at: loads that follow no order, since one bit a page tells only that there was one; shards
// are told apart by their number of pages, not by age, since versions of two shards do not compare.
//
// Looks every `interval`. While the physical tier has no room, or cannot be reached, it looks less
// and less often, and copies nothing. Thread-safe; everything in the context outlives it.
class Writeback : public std::enable_shared_from_this<Writeback> {
 public:
  struct Options {
    double start = 0.95;  // of the node's limit, see FillOf
    double end = 0.90;
    Duration interval = std::chrono::milliseconds(100);
    Duration sleep_max = std::chrono::seconds(2);
  };

  Writeback(const Options& options, const FrontEndContext& context)
      : options_(options), context_(context) {}

  void Start() { LookAfter(options_.interval); }
  // What is being moved from one shard goes on.
  void Stop() { stopped_ = true; }

 private:
  using Fills = std::map<const Placement::Member*, double>;  // of the nodes that answered

  void LookAfter(Duration delay);
  void Look();
  void Decide(const Fills& fills);
  bool HasRoom(const Fills& fills) const;
  void End(uint64_t moved);
  // Nothing can be done now.
  void Sleep();

  const Options options_;
  const FrontEndContext context_;
  std::atomic<bool> stopped_{false};
  Duration sleep_{};  // touched by one look at a time
};

}  // namespace vswap
