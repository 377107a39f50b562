#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "proto/grpc_glue.h"

namespace vswap {

// Sends `request` by `send` (a method of the stub's async interface) and gives the response, or the
// failure, to `done`, on a thread of gRPC's.
template <typename Async, typename Request, typename Response>
void SendUnary(Async* async,
               void (Async::*send)(grpc::ClientContext*, const Request*, Response*,
                                   std::function<void(grpc::Status)>),
               Request request, std::chrono::milliseconds timeout,
               std::function<void(const Status&, const Response&)> done) {
  // What gRPC borrows until it is answered.
  struct Call {
    grpc::ClientContext context;
    Request request;
    Response response;
  };
  auto call = std::make_shared<Call>();
  call->request = std::move(request);
  call->context.set_deadline(std::chrono::system_clock::now() + timeout);
  (async->*send)(&call->context, &call->request, &call->response,
                 [call, done = std::move(done)](const grpc::Status& status) mutable {
                   const Response response = std::move(call->response);
                   // The context holds the channel. Were it the last to do so, gRPC would take down
                   // its callback threads from one of them, and crash: so it goes before anybody is
                   // told.
                   call.reset();
                   done(FromGrpc(status), response);
                 });
}

}  // namespace vswap
