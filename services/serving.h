#pragma once

#include <prometheus/registry.h>

#include <memory>
#include <string>
#include <vector>

#include "services/frontend/admin_service.h"
#include "services/frontend/front_end_collector.h"
#include "services/frontend/frontend_service.h"
#include "services/frontend/peer_service.h"
#include "services/rpc_server.h"

namespace vswap {

// What a front-end process listens on: the front-end's, the admin and the peer service, and its
// metrics. As RpcServer; what it is given is borrowed.
class Serving {
 public:
  static StatusOr<std::unique_ptr<Serving>> Listen(const std::string& listen,
                                                   const std::string& metrics_listen,
                                                   FrontEnd& front_end, Coordinator& coordinator,
                                                   const Clock& clock);
  // Breaks off what is still open.
  ~Serving();

  // Health and /readyz say so from now on.
  void SetReady(bool ready) { server_->SetReady(ready); }
  // No more gRPC: streams are closed, requests under way are answered first.
  void StopRequests();

  const std::string& listen() const { return server_->listen(); }
  const std::string& metrics() const { return server_->metrics(); }

 private:
  Serving(FrontEnd& front_end, Coordinator& coordinator, const Clock& clock);
  std::vector<prometheus::MetricFamily> Collect() const;

  prometheus::Registry registry_;
  RequestMetrics request_metrics_;
  FrontEndCollector collector_;
  RequestHandler handler_;
  FrontEndService front_end_service_;
  AdminService admin_service_;
  PeerService peer_service_;
  std::unique_ptr<RpcServer> server_;
};

}  // namespace vswap
