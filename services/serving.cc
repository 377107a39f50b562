#include "services/serving.h"

#include <iterator>
#include <utility>

namespace vswap {

Serving::Serving(FrontEnd& front_end, Coordinator& coordinator, const Clock& clock)
    : request_metrics_(registry_),
      collector_(front_end),
      handler_(front_end, request_metrics_, clock),
      front_end_service_(handler_),
      admin_service_(front_end, coordinator),
      peer_service_(front_end) {}

StatusOr<std::unique_ptr<Serving>> Serving::Listen(const std::string& listen,
                                                   const std::string& metrics_listen,
                                                   FrontEnd& front_end, Coordinator& coordinator,
                                                   const Clock& clock) {
  std::unique_ptr<Serving> serving(new Serving(front_end, coordinator, clock));
  StatusOr<std::unique_ptr<RpcServer>> server =
      RpcServer::Listen(listen, metrics_listen,
                        {.services =
                             [&serving = *serving](grpc::ServerBuilder& builder) {
                               serving.front_end_service_.Register(builder);
                               builder.RegisterService(&serving.admin_service_);
                               builder.RegisterService(&serving.peer_service_);
                             },
                         .metrics = [&serving = *serving] { return serving.Collect(); }});
  if (!server.ok()) {
    return server.status();
  }
  serving->server_ = *std::move(server);
  return serving;
}

std::vector<prometheus::MetricFamily> Serving::Collect() const {
  std::vector<prometheus::MetricFamily> families = collector_.Collect();
  std::vector<prometheus::MetricFamily> requests = registry_.Collect();
  std::move(requests.begin(), requests.end(), std::back_inserter(families));
  return families;
}

void Serving::StopRequests() {
  server_->StopRequests([this] { front_end_service_.Stop(); });
}

Serving::~Serving() {
  if (server_ != nullptr) {
    StopRequests();
  }
}

}  // namespace vswap
