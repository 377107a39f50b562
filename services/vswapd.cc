// The daemon: settings, signals, and the role that was asked for.

#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <future>
#include <iostream>
#include <memory>
#include <thread>
#include <vector>

#include "services/common/settings.h"
#include "services/common/version.h"
#include "services/front_end_role.h"
#include "services/node_role.h"
#include "services/standalone.h"

namespace vswap {
namespace {

constexpr uint64_t kDrainGraceSeconds = 10;
constexpr auto kStartPoll = std::chrono::milliseconds(2);
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kTiB = uint64_t{1} << 40;

void DeclareListening(Settings& settings, std::string& listen, std::string& metrics_listen) {
  settings.Text("listen", listen, "HOST:PORT of the service; port 0: a free one");
  settings.Text("metrics-listen", metrics_listen,
                "HOST:PORT of /metrics, /livez and /readyz; port 0: a free one");
}

void DeclareMember(Settings& settings, MemberOptions& member) {
  DeclareListening(settings, member.listen, member.metrics_listen);
  settings.Text("etcd", member.etcd, "HOST:PORT,... of etcd");
  settings.Text("id", member.id, "name of this process in the cluster");
  settings.Text("advertise", member.advertise,
                "HOST:PORT that the others use (default: as it listens)");
  settings.Text("machine", member.machine, "the machine it is on (default: the host's name)");
  settings.Text("zone", member.zone, "the zone its machine is in");
}

void DeclareDataDir(Settings& settings, std::string& data_dir) {
  settings.Text("data-dir", data_dir, "directory of all that is kept; made if absent");
}

void DeclareCompressor(Settings& settings, CompressorOptions& options) {
  settings.Text("arena", options.arena,
                "file of the compressed pages, on tmpfs (default: /dev/shm/vswap-ID)");
  settings.Bytes("memory-max", options.memory_max, 4 * kMiB, kTiB,
                 "bytes of memory for compressed pages, all overhead included");
  settings.Flag("allow-swappable", options.allow_swappable,
                "run although the arena cannot be locked and this machine swaps");
}

void DeclareStore(Settings& settings, StoreOptions& options) {
  settings.Count("capacity-pages", options.capacity_pages, 0, uint64_t{1} << 40,
                 "pages of 4 KiB that the store keeps");
  settings.Bytes("block-cache", options.block_cache, kMiB, 16 * kTiB,
                 "bytes of memory for RocksDB's blocks");
  settings.Flag("sync-log", options.sync_log,
                "sync every write of the table log: survives a loss of power, slower");
  settings.Flag("discard-data", options.discard_data,
                "start empty after the machine went down under it without sync-log; does nothing "
                "once the data-dir was opened since");
}

void DeclareThreads(Settings& settings, uint64_t& threads) {
  settings.Count("threads", threads, 0, 1024,
                 "threads that compress and decide; 0: as many as processors");
}

void DeclareFrontEnd(Settings& settings, FrontEndOptions& options) {
  settings.Count("shards", options.shards, 1, 4096,
                 "shards of the table; of a new cluster or data-dir only");
  DeclareThreads(settings, options.threads);
  settings.Count("writeback-percent", options.writeback_percent, 1, 100,
                 "how full memory-max may get before cold pages go to the store; 100: any");
  settings.Count("drain-seconds", options.drain_seconds, 0, 86400,
                 "how long SIGTERM may take to finish requests and move pages");
  settings.Count("compare-seconds", options.compare_seconds, 0, 30 * 86400,
                 "in which each node is compared with the table, and damage looked for; 0: never");
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

// One role: its subcommand and settings, and how it is started.
struct Choice {
  CLI::App* command = nullptr;
  std::unique_ptr<Settings> settings;
  std::function<StatusOr<std::unique_ptr<Role>>()> start;
  const uint64_t* drain_seconds = nullptr;  // null: a drain has nothing to wait for
};

// All roles share the settings' variables: only one is started.
struct Options {
  StandaloneOptions standalone;
  FrontEndRoleOptions front_end;
  CompressorRoleOptions compressor;
  StoreRoleOptions store;
  std::string log_level = "info";
};

std::vector<Choice> DeclareRoles(CLI::App& app, Options& options) {
  std::vector<Choice> roles;
  const auto add = [&](const char* name, const char* help) -> Choice& {
    Choice& choice = roles.emplace_back();
    choice.command = app.add_subcommand(name, help);
    choice.settings = std::make_unique<Settings>(*choice.command);
    choice.settings->Text("log-level", options.log_level, "trace, debug, info, warn, err, off");
    return choice;
  };
  {
    Choice& choice = add("standalone", "front-end, compressor and store in this process");
    Settings& settings = *choice.settings;
    StandaloneOptions& own = options.standalone;
    DeclareListening(settings, own.listen, own.metrics_listen);
    DeclareDataDir(settings, own.data_dir);
    DeclareCompressor(settings, own.compressor);
    DeclareStore(settings, own.store);
    DeclareFrontEnd(settings, own.front_end);
    settings.Flag("keep-arena", own.keep_arena,
                  "leave compressed pages in memory on SIGTERM, for the next start");
    choice.start = [&own] { return Standalone::Start(own); };
    choice.drain_seconds = &own.front_end.drain_seconds;
  }
  {
    Choice& choice = add("frontend", "a front-end of a cluster");
    FrontEndRoleOptions& own = options.front_end;
    DeclareMember(*choice.settings, own.member);
    DeclareFrontEnd(*choice.settings, own.front_end);
    choice.settings->Count("log-replicas", own.log_replicas, 1, 3,
                           "stores that keep each shard's table log; of a new cluster only");
    choice.settings->Count("compressed-replicas", own.compressed_replicas, 1, 3,
                           "compressors that keep a copy of each page; of a new cluster only");
    choice.settings->Count("physical-replicas", own.physical_replicas, 1, 3,
                           "stores that keep a copy of each page; of a new cluster only");
    choice.settings->Count("lease-seconds", own.lease_seconds, 1, 60,
                           "after its death the other front-ends take over");
    choice.start = [&own] { return StartFrontEnd(own); };
    choice.drain_seconds = &own.front_end.drain_seconds;
  }
  {
    Choice& choice = add("compressor", "a compressor of a cluster: compressed pages in memory");
    CompressorRoleOptions& own = options.compressor;
    DeclareMember(*choice.settings, own.member);
    DeclareDataDir(*choice.settings, own.data_dir);
    DeclareCompressor(*choice.settings, own.compressor);
    DeclareThreads(*choice.settings, own.threads);
    choice.start = [&own] { return StartCompressor(own); };
  }
  {
    Choice& choice = add("store", "a store of a cluster: pages on disk, and table logs");
    StoreRoleOptions& own = options.store;
    DeclareMember(*choice.settings, own.member);
    DeclareDataDir(*choice.settings, own.data_dir);
    DeclareStore(*choice.settings, own.store);
    choice.start = [&own] { return StartStore(own); };
  }
  return roles;
}

// Starts the role. A signal meanwhile ends the process, as kill -9 would.
StatusOr<std::unique_ptr<Role>> StartRole(const Choice& choice, const sigset_t& signals) {
  std::future<StatusOr<std::unique_ptr<Role>>> starting =
      std::async(std::launch::async, choice.start);
  while (starting.wait_for(kStartPoll) != std::future_status::ready) {
    const timespec now{0, 0};
    if (sigtimedwait(&signals, nullptr, &now) > 0) {
      std::cout << std::flush;
      _exit(0);
    }
  }
  return starting.get();
}

// Calls to other processes may still be under way: their answers find everything in its place.
[[noreturn]] void End(int code) {
  spdlog::shutdown();
  std::cout << std::flush;
  _exit(code);
}

[[noreturn]] void Run(const Choice& choice, const sigset_t& signals) {
  StatusOr<std::unique_ptr<Role>> started = StartRole(choice, signals);
  if (!started.ok()) {
    std::cerr << "vswapd: " << MessageOf(started.status()) << std::endl;
    End(1);
  }
  Role& role = **started;
  std::cout << "ready listen=" << role.listen() << " metrics=" << role.metrics() << std::endl;
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  // A second signal, or a drain that does not come to its end (of a full disk, say), ends the
  // process as kill -9 would: nothing acknowledged is lost by that.
  const uint64_t seconds =
      kDrainGraceSeconds + (choice.drain_seconds != nullptr ? *choice.drain_seconds : 0);
  std::thread([signals, seconds] {
    const timespec limit{static_cast<time_t>(seconds), 0};
    const int again = sigtimedwait(&signals, nullptr, &limit);
    if (again < 0) {
      spdlog::warn("the drain did not end in {} seconds: leaving the rest to the next start",
                   seconds);
      spdlog::shutdown();
    }
    _exit(again < 0 ? 1 : 128 + again);
  }).detach();
  const Status status = role.Drain();
  if (!status.ok()) {
    std::cerr << "vswapd: " << MessageOf(status) << std::endl;
    End(1);
  }
  spdlog::info("stopped");
  End(0);
}

int Main(int argc, char** argv) {
  CLI::App app("vswapd: swap space as a network service");
  app.set_version_flag("--version", std::string("vswapd ") + kVersionText);
  app.require_subcommand(1);
  Options options;
  const std::vector<Choice> roles = DeclareRoles(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const Choice& choice =
      *std::ranges::find_if(roles, [](const Choice& role) { return role.command->parsed(); });
  Status status = choice.settings->ReadFile();
  if (status.ok()) {
    status = SetUpLog(options.log_level);
  }
  if (!status.ok()) {
    std::cerr << "vswapd: " << MessageOf(status) << std::endl;
    return 2;
  }
  for (const std::string& name : choice.settings->UnknownEnvironment()) {
    spdlog::warn("{} in the environment is no setting of mine", name);
  }
  Run(choice, BlockSignals());
}

}  // namespace
}  // namespace vswap

int main(int argc, char** argv) { return vswap::Main(argc, argv); }
