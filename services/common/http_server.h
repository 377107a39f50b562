#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "services/common/status.h"

namespace vswap {

struct HttpResponse {
  int code = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// A small HTTP/1.1 server (CivetWeb) for /metrics and probes: exact paths, GET only, everything
// else is 404 or 405.
//
// Bad at: rates; two threads of its own serve all connections. Handlers run on them and must be
// thread-safe. The destructor waits for requests under way.
class HttpServer {
 public:
  using Handler = std::function<HttpResponse()>;

  // `listen`: HOST:PORT, port 0 for a free one. UNAVAILABLE where it cannot be listened on.
  static StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& listen,
                                                     std::map<std::string, Handler> handlers);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // HOST:PORT with the port that is listened on.
  const std::string& address() const { return address_; }

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl, std::string address);

  std::unique_ptr<Impl> impl_;
  std::string address_;
};

}  // namespace vswap
