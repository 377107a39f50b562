#pragma once

#include <grpcpp/grpcpp.h>
#include <prometheus/metric_family.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "services/common/http_server.h"
#include "services/common/status.h"

namespace vswap {

// What every vswapd process listens on: gRPC (its services, health, reflection) and HTTP (/metrics,
// /livez, /readyz).
//
// Listens from the start, so that a taken port is an error at once, and is ready when told so.
// Externally synchronised.
class RpcServer {
 public:
  struct Parts {
    // Adds the services; they outlive the server.
    std::function<void(grpc::ServerBuilder&)> services;
    // Called by the threads of HTTP.
    std::function<std::vector<prometheus::MetricFamily>()> metrics;
  };
  // UNAVAILABLE: a port is taken. INVALID_ARGUMENT: not HOST:PORT.
  static StatusOr<std::unique_ptr<RpcServer>> Listen(const std::string& listen,
                                                     const std::string& metrics_listen,
                                                     Parts parts);
  // Breaks off what is still open.
  ~RpcServer();

  // Health and /readyz say so from now on.
  void SetReady(bool ready);
  // No more gRPC: `close_streams` is called once new calls are refused; calls under way are
  // answered first.
  void StopRequests(const std::function<void()>& close_streams = [] {});

  const std::string& listen() const { return listen_; }
  const std::string& metrics() const { return http_->address(); }

 private:
  explicit RpcServer(Parts parts) : parts_(std::move(parts)) {}
  Status ListenGrpc(const std::string& listen);
  Status ListenHttp(const std::string& listen);

  const Parts parts_;
  std::atomic<bool> ready_{false};
  std::string listen_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace vswap
