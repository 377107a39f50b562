#include "client/bench/table_phases.h"

#include <chrono>
#include <thread>

namespace vswap::bench {

StatusOr<PhaseTime> RunPhase(TableTarget& table, uint32_t threads, uint64_t slots,
                             const std::function<void(uint32_t thread)>& work) {
  const StatusOr<TableTarget::Usage> before = table.Measure();
  if (!before.ok()) {
    return before.status();
  }
  std::vector<Status> results(threads);
  const auto begin = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> running;
    for (uint32_t thread = 0; thread < threads; ++thread) {
      running.emplace_back([&, thread] {
        work(thread);
        results[thread] = table.Wait(thread);
      });
    }
  }
  PhaseTime time{slots, 0, 0};
  time.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  for (const Status& result : results) {
    VSWAP_RETURN_IF_ERROR(result);
  }
  const StatusOr<TableTarget::Usage> after = table.Measure();
  if (!after.ok()) {
    return after.status();
  }
  time.cpu_seconds = std::chrono::duration<double>(after->cpu - before->cpu).count();
  return time;
}

uint64_t Scattered(uint64_t i, uint64_t count) {
  __extension__ using Wide = unsigned __int128;
  // A prime above every count: the products are all different modulo the count. The golden ratio
  // of 2^62, so that neighbours go far apart.
  constexpr uint64_t kPrime = 2850178704600700463u;
  return static_cast<uint64_t>(static_cast<Wide>(kPrime) * i % count);
}

}  // namespace vswap::bench
