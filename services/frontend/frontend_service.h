#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "services/frontend/request_handler.h"

namespace vswap {

// vswap.v1.FrontEndService on a gRPC server, all by gRPC's callbacks and threads. Streams carry
// messages as raw buffers, so that page bytes do not pass through protobuf.
//
// Order of use: Register, BuildAndStart, ..., server->Shutdown, Stop. Externally synchronised. The
// request handler is borrowed and answers everything before Stop can return.
class FrontEndService {
 public:
  explicit FrontEndService(RequestHandler& handler);
  ~FrontEndService();

  void Register(grpc::ServerBuilder& builder);
  // Waits for the streams' end.
  void Stop();

 private:
  class Calls;
  const std::unique_ptr<Calls> calls_;
};

}  // namespace vswap
