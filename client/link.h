#pragma once

#include <functional>
#include <memory>
#include <string>

#include "client/map_call.h"
#include "client/stream.h"
#include "services/common/executor.h"
#include "services/common/status.h"

namespace vswap::client {

// One connection to the front-end that is kept up: a channel, and an Exchange stream on it that is
// begun again, after asking for the shard map, whenever it ends.
//
// Runs within the event queue's events and ticks only, and so do its handlers; Start comes before
// them. A failed attempt is followed by a longer pause, up to kPauseMax.
class Link {
 public:
  struct Handlers {
    std::function<void(std::shared_ptr<Stream>)> up;
    std::function<void(Status why)> down;  // after `up`, or after an attempt that failed
    std::function<void(const v1::ShardMap&)> map;
    std::function<void(const Stream*, grpc::ByteBuffer&)> message;
    std::function<void()> written;
  };
  static constexpr Duration kPauseMin = std::chrono::milliseconds(20);
  static constexpr Duration kPauseMax = std::chrono::seconds(1);

  Link(std::string frontend, const Clock& clock, EventQueue& events, Handlers handlers);

  // Begins the first stream; the shard map is known.
  void Start() { StartStream(); }
  // Tries again if it is time to.
  void Tick();
  // Goes to another front-end from now on.
  void MoveTo(const std::string& frontend);
  // Takes the connection for dead, with its channel.
  void Replace(const Status& why);
  // Asks for the shard map, unless that is under way.
  void AskForMap();
  // An answer came: the next failure is the first one.
  void NoteProgress() { pause_ = kPauseMin; }
  // Ends everything; nothing is begun again.
  void Stop();

 private:
  void StartStream();
  void OnMap(const MapCall& call);
  void OnEnded(const Stream* stream, Status why);
  void Down(Status why);

  std::string frontend_;
  const Clock& clock_;
  EventQueue& events_;
  const Handlers handlers_;
  std::shared_ptr<grpc::Channel> channel_;
  std::shared_ptr<Stream> stream_;  // starting or up; at most one of these two leads to a stream
  std::shared_ptr<MapCall> map_call_;
  TimePoint retry_at_{};
  Duration pause_ = kPauseMin;
  bool stopped_ = false;
};

}  // namespace vswap::client
