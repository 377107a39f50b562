#pragma once

#include <memory>
#include <string>
#include <vector>

#include "services/common/executor.h"
#include "services/common/status.h"

namespace vswap::bench {

// What one phase of calls took.
struct CallTimes {
  double seconds = 0;
  std::vector<double> latencies_us;  // of each call, sorted
};

// Drives an echo server with the client library's own stream and completion queue, from one
// thread. Thread-confined.
class EchoClient {
 public:
  explicit EchoClient(std::string address) : address_(std::move(address)) {}

  // Messages of so many bytes, up to `depth` under way at once, for so long; each is answered with
  // `answer_bytes`. UNAVAILABLE: the stream ended.
  StatusOr<CallTimes> Run(size_t message_bytes, size_t answer_bytes, uint64_t depth,
                          Duration length) const;

 private:
  const std::string address_;
};

}  // namespace vswap::bench
