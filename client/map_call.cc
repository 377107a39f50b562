#include "client/map_call.h"

#include <utility>

namespace vswap::client {

std::shared_ptr<MapCall> MapCall::Begin(const std::shared_ptr<grpc::Channel>& channel,
                                        std::chrono::seconds limit, bool wait_for_ready,
                                        EventQueue& events,
                                        std::function<void(const MapCall&)> done) {
  auto call = std::make_shared<MapCall>();
  call->stub = v1::FrontEndService::NewStub(channel);
  call->context.set_wait_for_ready(wait_for_ready);
  call->context.set_deadline(std::chrono::system_clock::now() + limit);
  call->reader =
      call->stub->AsyncGetShardMap(&call->context, v1::GetShardMapRequest(), events.queue());
  call->reader->Finish(&call->response, &call->status,
                       events.Tag([call, done = std::move(done)](bool) { done(*call); }));
  return call;
}

}  // namespace vswap::client
