// The daemon: settings, signals, and the role that was asked for.

#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <iostream>
#include <thread>

#include "services/common/settings.h"
#include "services/common/version.h"
#include "services/standalone.h"

namespace vswap {
namespace {

constexpr uint64_t kDrainGraceSeconds = 10;
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kTiB = uint64_t{1} << 40;

void Declare(Settings& settings, StandaloneOptions& options, std::string& log_level) {
  settings.Text("listen", options.listen, "HOST:PORT of the service; port 0: a free one");
  settings.Text("metrics-listen", options.metrics_listen,
                "HOST:PORT of /metrics, /livez and /readyz; port 0: a free one");
  settings.Text("data-dir", options.data_dir,
                "directory of the table log and the cold pages; made if absent");
  settings.Text("arena", options.arena,
                "file of the compressed pages, on tmpfs (default: /dev/shm/vswap-ID)");
  settings.Bytes("memory-max", options.memory_max, 4 * kMiB, kTiB,
                 "bytes of memory for compressed pages, all overhead included");
  settings.Count("capacity-pages", options.capacity_pages, 0, uint64_t{1} << 40,
                 "pages of 4 KiB that the store keeps");
  settings.Bytes("block-cache", options.block_cache, kMiB, 16 * kTiB,
                 "bytes of memory for RocksDB's blocks");
  settings.Count("shards", options.shards, 1, 4096, "shards of the table; of a new data-dir only");
  settings.Count("threads", options.threads, 0, 1024,
                 "threads that compress and decide; 0: as many as processors");
  settings.Count("writeback-percent", options.writeback_percent, 1, 100,
                 "how full memory-max may get before cold pages go to the store; 100: any");
  settings.Count("drain-seconds", options.drain_seconds, 0, 86400,
                 "how long SIGTERM may take to finish requests and move pages");
  settings.Flag("keep-arena", options.keep_arena,
                "leave compressed pages in memory on SIGTERM, for the next start");
  settings.Flag("allow-swappable", options.allow_swappable,
                "run although the arena cannot be locked and this machine swaps");
  settings.Flag("sync-log", options.sync_log,
                "sync every write of the table log: survives a loss of power, slower");
  settings.Flag("discard-data", options.discard_data,
                "start empty where the machine went down without a clean stop");
  settings.Text("log-level", log_level, "trace, debug, info, warn, err, off");
}

Status SetUpLog(const std::string& level_name) {
  const spdlog::level::level_enum level = spdlog::level::from_str(level_name);
  if (level == spdlog::level::off && level_name != "off") {
    return InvalidField("log-level", level_name, "trace, debug, info, warn, err, off");
  }
  spdlog::set_default_logger(spdlog::stderr_logger_mt("vswapd"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%f %l %v");
  spdlog::set_level(level);
  return Status();
}

// Before any thread is started, so that all have them blocked.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

int RunStandalone(const StandaloneOptions& options, const sigset_t& signals) {
  const StatusOr<std::unique_ptr<Standalone>> standalone = Standalone::Start(options);
  if (!standalone.ok()) {
    std::cerr << "vswapd: " << MessageOf(standalone.status()) << std::endl;
    return 1;
  }
  std::cout << "ready listen=" << (*standalone)->listen() << " metrics=" << (*standalone)->metrics()
            << std::endl;
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  // A second signal, or a drain that does not come to its end (of a full disk, say), ends the
  // process as kill -9 would: nothing acknowledged is lost by that.
  std::thread([signals, seconds = options.drain_seconds + kDrainGraceSeconds] {
    const timespec limit{static_cast<time_t>(seconds), 0};
    const int again = sigtimedwait(&signals, nullptr, &limit);
    if (again < 0) {
      spdlog::warn("the drain did not end in {} seconds: leaving the rest to the next start",
                   seconds);
      spdlog::shutdown();
    }
    _exit(again < 0 ? 1 : 128 + again);
  }).detach();
  const Status status = (*standalone)->Drain();
  if (!status.ok()) {
    std::cerr << "vswapd: " << MessageOf(status) << std::endl;
    return 1;
  }
  spdlog::info("stopped");
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("vswapd: swap space as a network service");
  app.set_version_flag("--version", std::string("vswapd ") + kVersionText);
  app.require_subcommand(1);
  CLI::App* command =
      app.add_subcommand("standalone", "front-end, compressor and store in this process");
  StandaloneOptions options;
  std::string log_level = "info";
  Settings settings(*command);
  Declare(settings, options, log_level);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  Status status = settings.ReadFile();
  if (status.ok()) {
    status = SetUpLog(log_level);
  }
  if (!status.ok()) {
    std::cerr << "vswapd: " << MessageOf(status) << std::endl;
    return 2;
  }
  for (const std::string& name : settings.UnknownEnvironment()) {
    spdlog::warn("{} in the environment is no setting of mine", name);
  }
  return RunStandalone(options, BlockSignals());
}

}  // namespace
}  // namespace vswap

int main(int argc, char** argv) { return vswap::Main(argc, argv); }
