#include "client/bench/run_command.h"

#include <spdlog/fmt/fmt.h>

#include <iostream>

namespace vswap {
namespace {

void Print(const BenchResult& result) {
  std::cout << fmt::format("{:<6} {:>10} {:>10.0f} {:>9.0f} {:>9.0f} {:>9.0f} {:>7} {:>6}\n",
                           result.name, result.pages, result.PagesPerSecond(),
                           result.Percentile(0.5), result.Percentile(0.95), result.Percentile(0.99),
                           result.failed_pages, result.wrong_pages)
            << std::flush;
}

}  // namespace

int RunWorkload(const ClientOptions& client_options, const BenchOptions& options) {
  StatusOr<std::unique_ptr<SwapClient>> client = SwapClient::Open(client_options);
  if (!client.ok()) {
    std::cerr << "vswap-bench: " << MessageOf(client.status()) << std::endl;
    return 1;
  }
  std::cout << fmt::format(
      "{} pages in batches of {}, {} calls under way, {:.0f} % zero, {:.0f} % random; times of "
      "calls in microseconds\n"
      "phase       pages    pages/s       p50       p95       p99  failed  wrong\n",
      options.pages, options.batch_pages, options.in_flight, options.zero_share * 100,
      options.random_share * 100);
  bool good = true;
  for (const auto phase : {FillPhase, StorePhase, LoadPhase, FreePhase}) {
    const BenchResult result = phase(**client, options);
    Print(result);
    good = good && result.failed_pages == 0 && result.wrong_pages == 0;
  }
  const Status closed = (*client)->Close();
  if (!closed.ok()) {
    std::cerr << "vswap-bench: " << MessageOf(closed) << std::endl;
  }
  return good && closed.ok() ? 0 : 1;
}

}  // namespace vswap
