#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <thread>
#include <vector>

#include "services/frontend/exchange_stream.h"
#include "services/frontend/request_handler.h"

namespace vswap {

// vswap.v1.FrontEndService on a gRPC server: unary calls by gRPC's own threads, streams by a
// completion queue with threads of its own, which carries messages as raw buffers, so that page
// bytes do not pass through protobuf.
//
// Order of use: Register, BuildAndStart, Start, ..., server->Shutdown, Stop. Externally
// synchronised. The request handler is borrowed and answers everything before Stop can return.
class FrontEndService {
 public:
  explicit FrontEndService(RequestHandler& handler);
  ~FrontEndService();

  void Register(grpc::ServerBuilder& builder);
  void Start(int threads);
  // Waits for the streams' end.
  void Stop();

 private:
  class Calls;

  void ServeQueue();

  RequestHandler& handler_;
  const std::unique_ptr<Calls> calls_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  LiveStreams live_;
  ExchangeStream::Request request_;
  ExchangeStream::Handler exchange_;
  std::vector<std::jthread> threads_;
};

}  // namespace vswap
