// The tool for people: what a service holds.

#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/ctl/cluster_text.h"
#include "client/ctl/status_text.h"
#include "services/common/version.h"
#include "vswap/v1/admin.grpc.pb.h"

namespace vswap {
namespace {

constexpr auto kTimeout = std::chrono::seconds(5);
constexpr auto kCheckTimeout = std::chrono::minutes(30);
// All front-ends are asked, one after the other.
constexpr auto kForgetTimeout = std::chrono::seconds(30);
constexpr auto kGiveUpTimeout = std::chrono::seconds(30);
constexpr auto kLook = std::chrono::milliseconds(500);

template <typename Request, typename Response>
using Method = grpc::Status (v1::AdminService::Stub::*)(grpc::ClientContext*, const Request&,
                                                        Response*);

template <typename Request, typename Response>
grpc::Status Ask(const std::string& address, std::chrono::seconds limit,
                 Method<Request, Response> method, const Request& request, Response* response) {
  v1::AdminService::Stub admin(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + limit);
  return (admin.*method)(&context, request, response);
}

// Calls the front-end; false where it refuses or does not answer, which is told.
template <typename Request, typename Response>
bool Call(const std::string& address, std::chrono::seconds limit, Method<Request, Response> method,
          const Request& request, Response* response) {
  const grpc::Status result = Ask(address, limit, method, request, response);
  if (!result.ok()) {
    std::cerr << "vswapctl: " << address << ": " << result.error_message() << std::endl;
  }
  return result.ok();
}

// Exit status 0: all is well; 1: there are problems; 3: something could not be looked at.
int RunCheck(const std::string& address, bool json) {
  v1::CheckResponse report;
  if (!Call(address, kCheckTimeout, &v1::AdminService::Stub::Check, v1::CheckRequest(), &report)) {
    return 1;
  }
  std::cout << (json ? ToJson(report) : ToText(report));
  if (report.problems_total() > 0) {
    return 1;
  }
  return report.skipped_size() > 0 ? 3 : 0;
}

std::optional<v1::GetClusterResponse> AskCluster(const std::string& address) {
  v1::GetClusterResponse cluster;
  const bool answered = Call(address, kTimeout, &v1::AdminService::Stub::GetCluster,
                             v1::GetClusterRequest(), &cluster);
  return answered ? std::optional(cluster) : std::nullopt;
}

// Of all front-ends: each tells of its own shards. Those that do not answer are told on stderr.
std::vector<v1::GetStatusResponse> AskFrontEnds(const std::string& address,
                                                const v1::GetClusterResponse& cluster) {
  std::vector<std::string> addresses;
  for (const v1::FrontEndRecord& front_end : cluster.front_ends()) {
    addresses.push_back(front_end.address());
  }
  if (addresses.empty()) {
    addresses.push_back(address);
  }
  std::vector<v1::GetStatusResponse> statuses;
  for (const std::string& each : addresses) {
    v1::GetStatusResponse status;
    if (Call(each, kTimeout, &v1::AdminService::Stub::GetStatus, v1::GetStatusRequest(), &status)) {
      statuses.push_back(std::move(status));
    }
  }
  return statuses;
}

int ShowStatus(const std::string& address, bool json) {
  v1::GetStatusResponse status;
  if (!Call(address, kTimeout, &v1::AdminService::Stub::GetStatus, v1::GetStatusRequest(),
            &status)) {
    return 1;
  }
  std::optional<Redundancy> redundancy;
  if (const auto cluster = AskCluster(address)) {
    redundancy = RedundancyOf(*cluster, AskFrontEnds(address, *cluster));
  }
  std::cout << (json ? ToJson(status, redundancy) : ToTables(status, redundancy));
  return 0;
}

int ShowCluster(const std::string& address, const std::string& what, bool json) {
  const std::optional<v1::GetClusterResponse> cluster = AskCluster(address);
  if (!cluster) {
    return 1;
  }
  if (what == "nodes") {
    std::cout << (json ? NodesAsJson(*cluster) : NodesAsTable(*cluster));
  } else if (what == "shards") {
    std::cout << (json ? ShardsAsJson(*cluster) : ShardsAsTable(*cluster));
  } else if (what == "jobs") {
    const std::vector<Job> jobs = JobsOf(*cluster, AskFrontEnds(address, *cluster));
    std::cout << (json ? JobsAsJson(jobs) : JobsAsTable(jobs));
  } else {
    const v1::GetStatusResponse sum = Sum(AskFrontEnds(address, *cluster));
    std::cout << (json ? SpacesAsJson(sum) : SpacesAsTable(sum));
  }
  return 0;
}

// Tells how a drain goes until the node is empty. Exit status 1: it was cancelled or paused.
int AwaitDrain(const std::string& address, const std::string& node) {
  std::string told;
  while (true) {
    if (const auto cluster = AskCluster(address)) {
      const std::vector<Job> jobs = JobsOf(*cluster, AskFrontEnds(address, *cluster));
      const auto job = std::ranges::find(jobs, "drain " + node, &Job::name);
      if (job == jobs.end()) {
        std::cout << node << " does not drain any more\n";
        return 1;
      }
      std::string line = DrainAsText(*job);
      if (line != told) {
        std::cout << line << std::endl;
        told = std::move(line);
      }
      if (job->state == "done" || job->state == "paused") {
        return job->state == "done" ? 0 : 1;
      }
    }
    std::this_thread::sleep_for(kLook);
  }
}

int Drain(const std::string& address, const v1::DrainRequest& request, bool wait) {
  v1::DrainResponse response;
  if (!Call(address, kTimeout, &v1::AdminService::Stub::Drain, request, &response)) {
    return 1;
  }
  if (wait) {
    return AwaitDrain(address, request.node());
  }
  const bool moves =
      request.action() == v1::DRAIN_ACTION_START || request.action() == v1::DRAIN_ACTION_RESUME;
  std::cout << request.node()
            << (moves ? " is being emptied: jobs tells how it goes\n" : " takes pages again\n");
  return 0;
}

int Forget(const std::string& address, const std::string& node) {
  v1::ForgetRequest request;
  request.set_node(node);
  v1::ForgetResponse response;
  if (!Call(address, kForgetTimeout, &v1::AdminService::Stub::Forget, request, &response)) {
    return 1;
  }
  std::cout << node << " has left: it counts again if it registers\n";
  return 0;
}

// Asks whoever is to serve the shard. Where it does not answer, or refuses as ABORTED, it is asked
// again: it changes hands, or another try to take it is under way.
grpc::Status GiveUpOne(const std::string& address, std::optional<v1::GetClusterResponse> cluster,
                       const v1::GiveUpRequest& request, v1::GiveUpResponse* response) {
  grpc::Status answer(grpc::StatusCode::UNAVAILABLE, "no front-end is to serve it now");
  for (const auto end = std::chrono::steady_clock::now() + kGiveUpTimeout;
       std::chrono::steady_clock::now() < end;
       std::this_thread::sleep_for(kLook), cluster = AskCluster(address)) {
    // One that is alone has no record, and refuses.
    const std::string owner = !cluster ? ""
                              : cluster->front_ends().empty()
                                  ? address
                                  : OwnerAddress(*cluster, request.shard());
    if (owner.empty()) {
      continue;
    }
    answer = Ask(owner, kGiveUpTimeout, &v1::AdminService::Stub::GiveUp, request, response);
    if (answer.error_code() != grpc::StatusCode::ABORTED &&
        answer.error_code() != grpc::StatusCode::UNAVAILABLE) {
      break;
    }
  }
  return answer;
}

uint32_t TimesGivenUp(const v1::GetClusterResponse& cluster, uint32_t shard) {
  const auto it = cluster.shards().find(shard);
  return it == cluster.shards().end() ? 0 : it->second.times_given_up();
}

// Exit status 1: some shard was not given up.
int GiveUp(const std::string& address, std::vector<uint32_t> shards, bool every, bool silent_too,
           bool sure) {
  const std::optional<v1::GetClusterResponse> cluster = AskCluster(address);
  if (!cluster) {
    return 1;
  }
  if (!sure) {
    std::cerr << "vswapctl: what is given up is lost for ever, also if a store with a shard's log "
                 "comes back. Look at `vswapctl shards`, and say --yes\n";
    return 2;
  }
  for (uint32_t shard = 0; every && shard < cluster->cluster().shard_count(); ++shard) {
    shards.push_back(shard);
  }
  const uint32_t count = cluster->cluster().shard_count();
  if (std::ranges::any_of(shards, [count](uint32_t shard) { return shard >= count; })) {
    std::cerr << "vswapctl: SHARD: allowed: 0.." << count - 1 << std::endl;
    return 2;
  }
  int result = 0;
  for (const uint32_t shard : shards) {
    v1::GiveUpRequest request;
    request.set_shard(shard);
    request.set_silent_too(silent_too);
    v1::GiveUpResponse response;
    const grpc::Status answer = GiveUpOne(address, cluster, request, &response);
    // Asked again after an answer that was lost, it is served: anew.
    const auto now = answer.ok() && response.was_served() ? AskCluster(address) : std::nullopt;
    const bool begun = now && TimesGivenUp(*now, shard) > TimesGivenUp(*cluster, shard);
    if (answer.ok() && (begun || !response.was_served())) {
      std::cout << "shard " << shard << " begins anew: what it held is lost" << std::endl;
    } else if (!answer.ok() || !every) {
      std::cerr << "vswapctl: "
                << (answer.ok() ? "shard " + std::to_string(shard) + " is served"
                                : answer.error_message())
                << std::endl;
      result = 1;
    }
  }
  return result;
}

int Main(int argc, char** argv) {
  CLI::App app("vswapctl: looks at a vswap service, empties its nodes, and gives lost shards up");
  app.set_version_flag("--version", std::string("vswapctl ") + kVersionText);
  app.require_subcommand(1);
  std::string address = "127.0.0.1:7410";
  app.add_option("--frontend", address, "HOST:PORT of a front-end")
      ->envname("VSWAP_LISTEN")
      ->capture_default_str();
  CLI::App* status = app.add_subcommand(
      "status",
      "one front-end: spaces, pages by what is behind them, nodes; the cluster's redundancy");
  CLI::App* check = app.add_subcommand(
      "check", "compare tables, counters, logs and inventories; exit status 1 if they differ");
  app.add_subcommand("nodes", "compressors and stores of the cluster");
  app.add_subcommand("shards", "who owns each shard, and which stores have its table log");
  app.add_subcommand("jobs", "what is moved off nodes that drain, and copied anew");
  app.add_subcommand("spaces", "spaces of the cluster, and their pages by what is behind them");
  CLI::App* drain = app.add_subcommand(
      "drain", "move everything off a compressor or store, while it and its hosts go on");
  v1::DrainRequest to_drain;
  to_drain.set_action(v1::DRAIN_ACTION_START);
  drain
      ->add_option_function<std::string>(
          "NODE", [&](const std::string& node) { to_drain.set_node(node); }, "its name (--id)")
      ->required();
  drain->add_option_function<uint64_t>(
      "--pages-per-second", [&](uint64_t rate) { to_drain.set_pages_per_second(rate); },
      "most that all front-ends move together; 0: as background work goes");
  bool wait = false;
  drain->add_flag("--wait", wait, "tell how it goes until the node is empty");
  const auto add_action = [&](const char* flag, v1::DrainAction action, const char* help) {
    return drain->add_flag_function(
        flag, [&, action](int64_t) { to_drain.set_action(action); }, help);
  };
  CLI::Option* const pause =
      add_action("--pause", v1::DRAIN_ACTION_PAUSE, "move nothing for now; the node takes pages");
  CLI::Option* const resume = add_action("--resume", v1::DRAIN_ACTION_RESUME, "go on");
  CLI::Option* const cancel =
      add_action("--cancel", v1::DRAIN_ACTION_CANCEL, "leave the rest where it is");
  pause->excludes(resume)->excludes(cancel);
  resume->excludes(cancel);
  CLI::App* forget = app.add_subcommand(
      "forget", "a node that is stopped and empty has left for good: nothing waits for it");
  std::string to_forget;
  forget->add_option("NODE", to_forget, "its name (--id)")->required();
  CLI::App* give_up = app.add_subcommand(
      "give-up", "begin shards anew that nobody can serve, since their logs are gone");
  std::vector<uint32_t> shards;
  bool every = false;
  bool silent_too = false;
  bool sure = false;
  CLI::Option* const some = give_up->add_option("SHARD", shards, "their numbers");
  CLI::Option* const all = give_up->add_flag("--all", every, "every shard that is not served");
  some->excludes(all);
  give_up->add_flag(
      "--silent", silent_too,
      "also where a store that does not answer or fails may have the log, or it is damaged");
  give_up->add_flag("--yes", sure, "I know that what they held is lost for ever");
  std::string output = "table";
  for (CLI::App* command : app.get_subcommands(
           [&](CLI::App* each) { return each != drain && each != forget && each != give_up; })) {
    command->add_option("--output", output, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
  }
  give_up->final_callback([&] {
    if (shards.empty() && !every) {
      throw CLI::RequiredError("give-up: SHARD, or --all");
    }
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const bool json = output == "json";
  if (*drain) {
    return Drain(address, to_drain, wait);
  }
  if (*forget) {
    return Forget(address, to_forget);
  }
  if (*give_up) {
    return GiveUp(address, shards, every, silent_too, sure);
  }
  if (*check) {
    return RunCheck(address, json);
  }
  return *status ? ShowStatus(address, json)
                 : ShowCluster(address, app.get_subcommands().front()->get_name(), json);
}

}  // namespace
}  // namespace vswap

int main(int argc, char** argv) { return vswap::Main(argc, argv); }
