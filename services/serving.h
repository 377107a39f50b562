#pragma once

#include <grpcpp/grpcpp.h>
#include <prometheus/registry.h>

#include <atomic>
#include <memory>
#include <string>

#include "services/common/http_server.h"
#include "services/frontend/admin_service.h"
#include "services/frontend/front_end_collector.h"
#include "services/frontend/frontend_service.h"

namespace vswap {

// What a front-end process listens on: gRPC (front-end, admin, health, reflection) and HTTP
// (/metrics, /livez, /readyz).
//
// Listens from the start, so that a taken port is an error at once, and is ready when told so.
// Externally synchronised. The front-end and the clock are borrowed.
class Serving {
 public:
  // UNAVAILABLE: a port is taken. INVALID_ARGUMENT: not HOST:PORT.
  static StatusOr<std::unique_ptr<Serving>> Listen(const std::string& listen,
                                                   const std::string& metrics_listen,
                                                   FrontEnd& front_end, const Clock& clock);
  // Breaks off what is still open.
  ~Serving();

  // Health and /readyz say so from now on.
  void SetReady(bool ready);
  // No more gRPC: streams are closed, requests under way are answered first.
  void StopRequests();

  const std::string& listen() const { return listen_; }
  const std::string& metrics() const { return http_->address(); }

 private:
  Serving(FrontEnd& front_end, const Clock& clock);
  Status ListenGrpc(const std::string& listen);
  Status ListenHttp(const std::string& listen);

  prometheus::Registry registry_;
  RequestMetrics request_metrics_;
  FrontEndCollector collector_;
  RequestHandler handler_;
  FrontEndService front_end_service_;
  AdminService admin_service_;
  std::atomic<bool> ready_{false};
  std::string listen_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace vswap
