#include "services/front_end_parts.h"

#include <unistd.h>

#include <algorithm>
#include <thread>

#include "services/cluster/await.h"

namespace vswap {
namespace {

constexpr auto kStartMax = std::chrono::minutes(10);
constexpr auto kPoll = std::chrono::milliseconds(5);
// Of what a nearly full compressor holds, this much is written back at a time.
constexpr double kWritebackPart = 0.05;
// Fuller than any node: the fills are looked at all the same.
constexpr double kNever = 2;

}  // namespace

int ComputeThreads(uint64_t wanted) {
  return static_cast<int>(wanted != 0 ? wanted : std::max(2u, std::thread::hardware_concurrency()));
}

FrontEnd::Options ToFrontEndOptions(const FrontEndOptions& options, const std::string& id) {
  const double start = options.writeback_percent < 100
                           ? static_cast<double>(options.writeback_percent) / 100
                           : kNever;
  return {.id = id,
          .shard_count = static_cast<uint32_t>(options.shards),
          .writeback = Writeback::Options{.start = start, .end = start * (1 - kWritebackPart)},
          .compare_every = std::chrono::seconds(options.compare_seconds)};
}

Status AwaitStart(FrontEnd& front_end) {
  return AwaitStatus(kStartMax, [&](auto done) { front_end.Start(std::move(done)); });
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "localhost";
}

bool PollUntil(TimePoint deadline, const std::function<bool()>& condition) {
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

}  // namespace vswap
