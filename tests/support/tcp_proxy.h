#pragma once

#include <string>
#include <thread>
#include <vector>

#include "services/common/mutex.h"

namespace vswap {

// A wire that damages what it is told to: carries bytes between clients and one server on loopback.
//
// One thread serves all connections, one read at a time. Thread-safe.
class TcpProxy {
 public:
  enum class Direction { kToServer, kToClient };
  static constexpr int kAlways = 1 << 30;

  // `server`: HOST:PORT, an IPv4 address. Check listening() before use.
  explicit TcpProxy(const std::string& server);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  bool listening() const { return listener_ >= 0; }
  // HOST:PORT
  const std::string& address() const { return address_; }

  // From now on one byte is flipped in each of the next `times` reads in this direction that hold
  // one of the patterns (several, since a read may end within one). Counts damaged() from 0.
  void Damage(Direction direction, std::vector<std::string> patterns, int times);
  int damaged() const;

 private:
  struct Pair {
    int client = -1;
    int server = -1;
  };
  void Run(const std::stop_token& stop);
  void Accept();
  // False when the connection has ended.
  bool Carry(int from, int to, Direction direction);
  void Spoil(Direction direction, std::string& bytes);

  std::string server_host_;
  uint16_t server_port_ = 0;
  int listener_ = -1;
  std::string address_;
  std::vector<Pair> pairs_;  // the thread's
  mutable Mutex mutex_;
  Direction direction_ GUARDED_BY(mutex_) = Direction::kToServer;
  std::vector<std::string> patterns_ GUARDED_BY(mutex_);
  int times_ GUARDED_BY(mutex_) = 0;
  int damaged_ GUARDED_BY(mutex_) = 0;
  std::jthread thread_;
};

}  // namespace vswap
