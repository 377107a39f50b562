// Loads a running service through libvswap and prints what it did: fill, store, load (compared),
// free.

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "client/bench/workload.h"
#include "services/common/version.h"

namespace vswap {
namespace {

void Print(const BenchResult& result) {
  std::cout << fmt::format("{:<6} {:>10} {:>10.0f} {:>9.0f} {:>9.0f} {:>9.0f} {:>7} {:>6}\n",
                           result.name, result.pages, result.PagesPerSecond(),
                           result.Percentile(0.5), result.Percentile(0.95), result.Percentile(0.99),
                           result.failed_pages, result.wrong_pages)
            << std::flush;
}

int Run(const ClientOptions& client_options, const BenchOptions& options) {
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

int Main(int argc, char** argv) {
  CLI::App app("vswap-bench: loads a running vswap service and measures it");
  app.set_version_flag("--version", std::string("vswap-bench ") + kVersionText);
  ClientOptions client;
  client.frontend = "127.0.0.1:7410";
  client.space = "bench";
  client.holder = "vswap-bench";
  BenchOptions options;
  app.add_option("--frontend", client.frontend, "HOST:PORT of a front-end")
      ->envname("VSWAP_LISTEN")
      ->capture_default_str();
  app.add_option("--space", client.space, "device space to use; made if absent, overwritten!")
      ->capture_default_str();
  app.add_option("--pages", options.pages, "working set, in pages of 4 KiB")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 30))
      ->capture_default_str();
  app.add_option("--batch", options.batch_pages, "pages a call")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--in-flight", options.in_flight, "calls under way at once, a thread each")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "of the store and the load phase")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  app.add_option("--zero", options.zero_share, "share of zero pages")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--random", options.random_share, "share of pages that do not compress")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "of content and order")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  client.create_pages = options.pages;
  return Run(client, options);
}

}  // namespace
}  // namespace vswap

int main(int argc, char** argv) { return vswap::Main(argc, argv); }
