#include "tests/support/free_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>
#include <set>

namespace vswap {
namespace {

constexpr int kPortMin = 20000;
constexpr int kPortMax = 32000;

bool IsFree(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool is_free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return is_free;
}

}  // namespace

std::string FreeAddress() {
  static std::set<int> given;
  std::random_device device;
  std::uniform_int_distribution<int> ports(kPortMin, kPortMax - 1);
  int port = 0;
  do {
    port = ports(device);
  } while (given.contains(port) || !IsFree(port));
  given.insert(port);
  return "127.0.0.1:" + std::to_string(port);
}

}  // namespace vswap
