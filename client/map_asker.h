#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/map_call.h"
#include "services/common/executor.h"

namespace vswap::client {

// Asks front-ends for the shard map, one after the other, over connections of its own: for when
// those that have the traffic do not answer, or do not know.
//
// Runs within the event queue's events and ticks only, and so does `map`. One question at a time; a
// new one not before kPause after the one before it ended.
class MapAsker {
 public:
  static constexpr Duration kPause = std::chrono::milliseconds(100);

  MapAsker(const Clock& clock, EventQueue& events, std::function<void(const v1::ShardMap&)> map)
      : clock_(clock), events_(events), map_(std::move(map)) {}

  // Asks the next of them, unless one is being asked or has been just now.
  void Ask(const std::vector<std::string>& front_ends);
  void Stop();

 private:
  void OnAnswer(const MapCall& call);

  const Clock& clock_;
  EventQueue& events_;
  const std::function<void(const v1::ShardMap&)> map_;
  std::shared_ptr<MapCall> call_;
  size_t next_ = 0;
  TimePoint not_before_{};
  bool stopped_ = false;
};

}  // namespace vswap::client
