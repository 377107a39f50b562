#include "services/rpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <prometheus/text_serializer.h>

#include <charconv>
#include <chrono>
#include <mutex>

#include "services/common/page.h"

namespace vswap {
namespace {

// What gRPC takes at most. The limit of the protocol is half of it, and gets a better error.
constexpr int kGrpcMessageBytesMax = 2 * static_cast<int>(kMessageBytesMax);
constexpr int kStreamsMax = 256;  // a connection
constexpr int kKeepaliveMs = 30000;
constexpr auto kGoodbye = std::chrono::milliseconds(100);

Status CheckAddress(std::string_view field, const std::string& address) {
  const size_t colon = address.rfind(':');
  unsigned port = 0;
  const char* end = address.data() + address.size();
  const bool good = colon != std::string::npos && colon > 0 &&
                    std::from_chars(address.data() + colon + 1, end, port).ptr == end &&
                    colon + 1 < address.size() && port <= 65535;
  return good ? Status() : InvalidField(field, address, "HOST:PORT, port 0..65535");
}

void InitGrpcOnce() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

}  // namespace

StatusOr<std::unique_ptr<RpcServer>> RpcServer::Listen(const std::string& listen,
                                                       const std::string& metrics_listen,
                                                       Parts parts) {
  VSWAP_RETURN_IF_ERROR(CheckAddress("listen", listen));
  VSWAP_RETURN_IF_ERROR(CheckAddress("metrics-listen", metrics_listen));
  std::unique_ptr<RpcServer> server(new RpcServer(std::move(parts)));
  VSWAP_RETURN_IF_ERROR(server->ListenHttp(metrics_listen));
  VSWAP_RETURN_IF_ERROR(server->ListenGrpc(listen));
  return server;
}

Status RpcServer::ListenGrpc(const std::string& listen) {
  InitGrpcOnce();
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(kGrpcMessageBytesMax);
  builder.SetMaxSendMessageSize(kGrpcMessageBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsMax);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  // Else a second process would get every other connection of the same port.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  parts_.services(builder);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    return MakeError(StatusCode::kUnavailable,
                     "listen: cannot listen on " + listen + " (is the port in use?)");
  }
  server_->GetHealthCheckService()->SetServingStatus(false);
  listen_ = listen.substr(0, listen.rfind(':') + 1) + std::to_string(port);
  return Status();
}

Status RpcServer::ListenHttp(const std::string& listen) {
  const auto metrics = [this] {
    return HttpResponse{200, "text/plain; version=0.0.4; charset=utf-8",
                        prometheus::TextSerializer().Serialize(parts_.metrics())};
  };
  const auto ready = [this] {
    return ready_ ? HttpResponse{200, "text/plain", "ok\n"}
                  : HttpResponse{503, "text/plain", "starting or stopping\n"};
  };
  const auto live = [] { return HttpResponse{200, "text/plain", "ok\n"}; };
  StatusOr<std::unique_ptr<HttpServer>> http =
      HttpServer::Start(listen, {{"/metrics", metrics}, {"/readyz", ready}, {"/livez", live}});
  if (!http.ok()) {
    return http.status();
  }
  http_ = *std::move(http);
  return Status();
}

void RpcServer::SetReady(bool ready) {
  ready_ = ready;
  server_->GetHealthCheckService()->SetServingStatus(ready);
}

void RpcServer::StopRequests(const std::function<void()>& close_streams) {
  if (server_ != nullptr) {
    server_->Shutdown(std::chrono::system_clock::now() + kGoodbye);
    close_streams();
    server_.reset();
  }
}

RpcServer::~RpcServer() {
  StopRequests();
  http_.reset();
}

}  // namespace vswap
