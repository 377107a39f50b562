// What vswap costs: the entry layer alone, pages through a service, and a workload. README.md
// describes the commands and their results.

#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "client/bench/echo_server.h"
#include "client/bench/pages.h"
#include "client/bench/run_command.h"
#include "client/bench/slots.h"
#include "client/bench/sparse.h"
#include "client/bench/temp_directory.h"
#include "services/common/version.h"

namespace vswap {
namespace {

using bench::Fill;
using bench::PageOp;
using Json = nlohmann::ordered_json;

// A command's exit status.
using Command = std::function<int()>;

// "a.b  value" a line.
void PrintText(const Json& json, const std::string& prefix) {
  for (const auto& [key, value] : json.items()) {
    if (value.is_object()) {
      PrintText(value, prefix + key + ".");
    } else {
      std::cout << prefix << key << "  " << value.dump() << "\n";
    }
  }
}

int Print(const StatusOr<Json>& result, const std::string& output) {
  if (!result.ok()) {
    std::cerr << "vswap-bench: " << MessageOf(result.status()) << std::endl;
    return result.status().code() == StatusCode::kInvalidArgument ? 2 : 1;
  }
  Json json = {{"version", kVersionText}};
  json.update(*result);
  if (output == "json") {
    std::cout << json.dump(2) << std::endl;
  } else {
    PrintText(json, "");
  }
  return 0;
}

template <typename T>
void Count(CLI::App& app, const std::string& flag, T& value, uint64_t low, uint64_t high,
           const std::string& help) {
  app.add_option(flag, value, help)->check(CLI::Range(low, high))->capture_default_str();
}

void Share(CLI::App& app, const std::string& flag, double& value, const std::string& help) {
  app.add_option(flag, value, help)->check(CLI::Range(0.0, 1.0))->capture_default_str();
}

void Output(CLI::App& app, std::string& output) {
  app.add_option("--output", output, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
}

void Frontend(CLI::App& app, std::string& frontend, const std::string& otherwise) {
  app.add_option("--frontend", frontend, "HOST:PORT of a running service; without it " + otherwise);
}

void Space(CLI::App& app, std::string& space) {
  app.add_option("--space", space, "device space of the service; made if absent, overwritten!")
      ->capture_default_str();
}

Command DeclareRun(CLI::App& app) {
  const auto client = std::make_shared<ClientOptions>();
  client->frontend = "127.0.0.1:7410";
  client->space = "bench";
  client->holder = "vswap-bench";
  const auto options = std::make_shared<BenchOptions>();
  app.add_option("--frontend", client->frontend, "HOST:PORT of a front-end")
      ->envname("VSWAP_LISTEN")
      ->capture_default_str();
  Space(app, client->space);
  Count(app, "--pages", options->pages, 1, uint64_t{1} << 30, "working set, in pages of 4 KiB");
  Count(app, "--batch", options->batch_pages, 1, 4096, "pages a call");
  Count(app, "--in-flight", options->in_flight, 1, 256, "calls under way at once, a thread each");
  Count(app, "--seconds", options->seconds, 1, 86400, "of the store and the load phase");
  Share(app, "--zero", options->zero_share, "share of zero pages");
  Share(app, "--random", options->random_share, "share of pages that do not compress");
  app.add_option("--seed", options->seed, "of content and order")->capture_default_str();
  return [client, options] {
    client->create_pages = options->pages;
    return RunWorkload(*client, *options);
  };
}

Command DeclareSlots(CLI::App& app) {
  const auto options = std::make_shared<bench::SlotsOptions>();
  const auto output = std::make_shared<std::string>("text");
  Count(app, "--entries", options->entries, 1, uint64_t{1} << 33, "slots to fill");
  Count(app, "--threads", options->threads, 1, 64, "that call, each with slots of its own");
  Count(app, "--shards", options->shards, 1, kShardCountMax, "of our own front-end");
  Count(app, "--batch", options->batch, 1, kBatchPagesMax, "consecutive slots a request");
  Count(app, "--operations", options->operations, 1, uint64_t{1} << 33,
        "slots stored, loaded or freed in a phase");
  Count(app, "--rounds", options->rounds, 1, 1000, "of which the medians are told");
  app.add_option("--fill-with", options->fill, "what the slots hold: zero or compressed")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Fill>{{"zero", Fill::kZero}, {"compressed", Fill::kCompressed}}))
      ->default_str("zero");
  Frontend(app, options->frontend, "the entry layer alone is measured, in this process");
  Space(app, options->space);
  Output(app, *output);
  return [options, output] { return Print(bench::MeasureSlots(*options), *output); };
}

Command DeclareSparse(CLI::App& app) {
  const auto options = std::make_shared<bench::SparseOptions>();
  const auto output = std::make_shared<std::string>("text");
  Count(app, "--clusters", options->clusters, 1, uint64_t{1} << 32, "one slot in each");
  Count(app, "--pages", options->pages, kClusterSlots, kSpacePagesMax,
        "range that they are spread over");
  Count(app, "--shards", options->shards, 1, kShardCountMax, "of our own front-end");
  Count(app, "--rounds", options->rounds, 1, 1000, "of filling and freeing");
  Frontend(app, options->frontend, "the entry layer alone is measured, in this process");
  Space(app, options->space);
  Output(app, *output);
  return [options, output] { return Print(bench::MeasureSparse(*options), *output); };
}

Command DeclarePages(CLI::App& app) {
  const auto options = std::make_shared<bench::PagesOptions>();
  const auto cpus = std::make_shared<std::string>();
  const auto output = std::make_shared<std::string>("text");
  app.add_option("--op", options->op, "out (store) or in (load)")
      ->required()
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, PageOp>{{"out", PageOp::kOut}, {"in", PageOp::kIn}}));
  Count(app, "--batch", options->batch, 1, kBatchPagesMax, "pages a call");
  Count(app, "--depth", options->depth, 1, 256, "calls under way at once");
  Count(app, "--pages", options->pages, 1, uint64_t{1} << 30, "working set, in pages of 4 KiB");
  Count(app, "--rounds", options->rounds, 1, 1000, "of which the medians are told");
  app.add_option("--seconds", options->seconds, "of each phase of a round")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  Share(app, "--zero", options->zero_share, "share of zero pages");
  Share(app, "--random", options->random_share, "share of pages that do not compress");
  app.add_option("--seed", options->seed, "of the content")->capture_default_str();
  app.add_option("--cpus", *cpus,
                 "CLIENT:SERVICE, the processors of each, like 0:1 or 0,2-3:1; a named service is "
                 "not moved");
  Frontend(app, options->frontend, "one is started and removed again");
  app.add_option("--vswapd", options->vswapd,
                 "program to start (default: vswapd beside this program)");
  Space(app, options->space);
  Output(app, *output);
  return [options, cpus, output] {
    const StatusOr<bench::CpuPlan> plan = bench::ParseCpuPlan(*cpus);
    if (!plan.ok()) {
      return Print(plan.status(), *output);
    }
    options->cpus = *plan;
    return Print(bench::MeasurePages(*options), *output);
  };
}

// Has SIGINT and SIGTERM remove what is on disk; children end with this process.
void RemoveOnSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals] {
    int signal_number = 0;
    sigwait(&signals, &signal_number);
    bench::TempDirectory::RemoveAll();
    _exit(128 + signal_number);
  }).detach();
}

int Main(int argc, char** argv) {
  // Standard output is the result's alone.
  spdlog::set_default_logger(spdlog::stderr_logger_mt("vswap-bench"));
  CLI::App app("vswap-bench: measures vswap");
  app.set_version_flag("--version", std::string("vswap-bench ") + kVersionText);
  app.require_subcommand(1);
  std::vector<std::pair<CLI::App*, Command>> commands;
  const auto add = [&](const std::string& name, const std::string& help, const auto& declare) {
    CLI::App* command = app.add_subcommand(name, help);
    commands.emplace_back(command, declare(*command));
  };
  add("slots", "memory and speed of the entry layer, by the number of slots", DeclareSlots);
  add("sparse", "one slot a cluster over a large range, and its memory back", DeclareSparse);
  add("pages", "pages out or in, beside what LZ4 and gRPC alone cost", DeclarePages);
  add("run", "loads a running service: fill, store, load (compared), free", DeclareRun);
  add("echo-server", "", [](CLI::App& command) {
    command.group("");  // only started by `pages`
    return Command(bench::RunEchoServer);
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  for (const auto& [command, run] : commands) {
    if (command->parsed()) {
      RemoveOnSignals();
      return run();
    }
  }
  return 2;
}

}  // namespace
}  // namespace vswap

int main(int argc, char** argv) { return vswap::Main(argc, argv); }
