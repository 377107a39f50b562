#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "client/event_queue.h"
#include "vswap/v1/frontend.grpc.pb.h"

namespace vswap::client {

// One question to a front-end for the shard map. Begun and answered within the event queue's events
// and ticks.
struct MapCall {
  // `done` once, as an event, also where the call was cancelled.
  static std::shared_ptr<MapCall> Begin(const std::shared_ptr<grpc::Channel>& channel,
                                        std::chrono::seconds limit, bool wait_for_ready,
                                        EventQueue& events,
                                        std::function<void(const MapCall&)> done);

  std::unique_ptr<v1::FrontEndService::Stub> stub;
  grpc::ClientContext context;
  grpc::Status status;
  v1::GetShardMapResponse response;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::GetShardMapResponse>> reader;
};

}  // namespace vswap::client
