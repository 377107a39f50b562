#include "tests/support/tcp_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace vswap {
namespace {

constexpr int kPollMs = 20;
constexpr size_t kReadBytesMax = 256 * 1024;

sockaddr_in AddressOf(const std::string& host, uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  return address;
}

bool WriteAll(int fd, const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t written = send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (written <= 0) {
      return false;
    }
    at += static_cast<size_t>(written);
  }
  return true;
}

}  // namespace

TcpProxy::TcpProxy(const std::string& server)
    : server_host_(server.substr(0, server.rfind(':'))),
      server_port_(static_cast<uint16_t>(std::stoi(server.substr(server.rfind(':') + 1)))) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = AddressOf("127.0.0.1", 0);
  socklen_t bytes = sizeof(address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), bytes) != 0 || listen(fd, 64) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) {
    close(fd);
    return;
  }
  listener_ = fd;
  address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

TcpProxy::~TcpProxy() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
  for (const Pair& pair : pairs_) {
    close(pair.client);
    close(pair.server);
  }
  close(listener_);
}

void TcpProxy::Damage(Direction direction, std::vector<std::string> patterns, int times) {
  MutexLock lock(mutex_);
  direction_ = direction;
  patterns_ = std::move(patterns);
  times_ = times;
  damaged_ = 0;
}

int TcpProxy::damaged() const {
  MutexLock lock(mutex_);
  return damaged_;
}

void TcpProxy::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<pollfd> fds = {{listener_, POLLIN, 0}};
    for (const Pair& pair : pairs_) {
      fds.push_back({pair.client, POLLIN, 0});
      fds.push_back({pair.server, POLLIN, 0});
    }
    if (poll(fds.data(), fds.size(), kPollMs) <= 0) {
      continue;
    }
    std::vector<Pair> kept;
    for (size_t i = 0; i < pairs_.size(); ++i) {
      const Pair& pair = pairs_[i];
      bool alive = true;
      if (fds[2 * i + 1].revents != 0) {
        alive = Carry(pair.client, pair.server, Direction::kToServer);
      }
      if (alive && fds[2 * i + 2].revents != 0) {
        alive = Carry(pair.server, pair.client, Direction::kToClient);
      }
      if (alive) {
        kept.push_back(pair);
      } else {
        close(pair.client);
        close(pair.server);
      }
    }
    pairs_ = std::move(kept);
    if (fds[0].revents != 0) {
      Accept();
    }
  }
}

void TcpProxy::Accept() {
  const Pair pair = {accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC),
                     socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const sockaddr_in address = AddressOf(server_host_, server_port_);
  if (pair.client < 0 || pair.server < 0 ||
      connect(pair.server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    close(pair.client);
    close(pair.server);
    return;
  }
  const int on = 1;
  setsockopt(pair.client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(pair.server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  pairs_.push_back(pair);
}

bool TcpProxy::Carry(int from, int to, Direction direction) {
  std::string bytes(kReadBytesMax, '\0');
  const ssize_t got = read(from, bytes.data(), bytes.size());
  if (got <= 0) {
    return false;
  }
  bytes.resize(static_cast<size_t>(got));
  Spoil(direction, bytes);
  return WriteAll(to, bytes);
}

void TcpProxy::Spoil(Direction direction, std::string& bytes) {
  MutexLock lock(mutex_);
  if (direction != direction_ || times_ == 0) {
    return;
  }
  for (const std::string& pattern : patterns_) {
    const size_t at = bytes.find(pattern);
    if (at != std::string::npos) {
      bytes[at + pattern.size() / 2] = static_cast<char>(bytes[at + pattern.size() / 2] ^ 0x20);
      ++damaged_;
      --times_;
      return;
    }
  }
}

}  // namespace vswap
