#include "services/common/http_server.h"

#include <civetweb.h>

#include <array>
#include <cstring>

namespace vswap {

class HttpServer::Impl {
 public:
  explicit Impl(std::map<std::string, Handler> handlers) : handlers_(std::move(handlers)) {}
  ~Impl() {
    if (context_ != nullptr) {
      mg_stop(context_);
    }
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Status Listen(const std::string& listen) {
    mg_callbacks callbacks;
    std::memset(&callbacks, 0, sizeof(callbacks));
    callbacks.log_message = [](const mg_connection* connection, const char* message) {
      auto* self = static_cast<Impl*>(mg_get_user_data(mg_get_context(connection)));
      self->last_message_ = message;
      return 1;
    };
    const std::array<const char*, 7> options = {
        "listening_ports",    listen.c_str(), "num_threads", "2",
        "request_timeout_ms", "5000",         nullptr};
    context_ = mg_start(&callbacks, this, const_cast<const char**>(options.data()));
    if (context_ == nullptr) {
      return MakeError(StatusCode::kUnavailable,
                       "metrics-listen: cannot listen on " + listen +
                           (last_message_.empty() ? "" : " (" + last_message_ + ")"));
    }
    mg_set_request_handler(context_, "/**", &Impl::Handle, this);
    return Status();
  }

  int Port() const {
    std::array<mg_server_port, 4> ports;
    return mg_get_server_ports(context_, static_cast<int>(ports.size()), ports.data()) > 0
               ? ports[0].port
               : 0;
  }

 private:
  static int Handle(mg_connection* connection, void* data) {
    const mg_request_info* request = mg_get_request_info(connection);
    const HttpResponse response =
        static_cast<Impl*>(data)->Answer(request->request_method, request->local_uri);
    mg_printf(connection,
              "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
              "Connection: close\r\n\r\n",
              response.code, mg_get_response_code_text(connection, response.code),
              response.content_type.c_str(), response.body.size());
    mg_write(connection, response.body.data(), response.body.size());
    return response.code;
  }

  HttpResponse Answer(const std::string& method, const std::string& path) const {
    const auto it = handlers_.find(path);
    if (it == handlers_.end()) {
      return {404, "text/plain; charset=utf-8", "not found\n"};
    }
    if (method != "GET" && method != "HEAD") {
      return {405, "text/plain; charset=utf-8", "GET only\n"};
    }
    return it->second();
  }

  const std::map<std::string, Handler> handlers_;
  mg_context* context_ = nullptr;
  std::string last_message_;  // written during mg_start only where it matters
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl, std::string address)
    : impl_(std::move(impl)), address_(std::move(address)) {}

HttpServer::~HttpServer() = default;

StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& listen,
                                                        std::map<std::string, Handler> handlers) {
  const size_t colon = listen.rfind(':');
  if (colon == std::string::npos) {
    return InvalidField("metrics-listen", listen, "HOST:PORT");
  }
  auto impl = std::make_unique<Impl>(std::move(handlers));
  VSWAP_RETURN_IF_ERROR(impl->Listen(listen));
  std::string address = listen.substr(0, colon + 1) + std::to_string(impl->Port());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl), std::move(address)));
}

}  // namespace vswap
