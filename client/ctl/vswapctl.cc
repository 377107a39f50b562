// The tool for people: what a service holds.

#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>

#include "client/ctl/status_text.h"
#include "services/common/version.h"
#include "vswap/v1/admin.grpc.pb.h"

namespace vswap {
namespace {

constexpr auto kTimeout = std::chrono::seconds(5);
constexpr auto kCheckTimeout = std::chrono::minutes(30);

// Calls the front-end; false where it refuses or does not answer, which is told.
template <typename Request, typename Response>
bool Call(const std::string& address, std::chrono::seconds limit,
          grpc::Status (v1::AdminService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                         Response*),
          const Request& request, Response* response) {
  v1::AdminService::Stub admin(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + limit);
  const grpc::Status result = (admin.*method)(&context, request, response);
  if (!result.ok()) {
    std::cerr << "vswapctl: " << address << ": " << result.error_message() << std::endl;
  }
  return result.ok();
}

int ShowStatus(const std::string& address, bool json) {
  v1::GetStatusResponse status;
  if (!Call(address, kTimeout, &v1::AdminService::Stub::GetStatus, v1::GetStatusRequest(),
            &status)) {
    return 1;
  }
  std::cout << (json ? ToJson(status) : ToTables(status));
  return 0;
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

int Drain(const std::string& address, const v1::DrainRequest& request) {
  v1::DrainResponse response;
  if (!Call(address, kTimeout, &v1::AdminService::Stub::Drain, request, &response)) {
    return 1;
  }
  std::cout << request.node()
            << (request.cancel() ? " takes pages again\n"
                                 : " is being emptied: status tells how many pages are left\n");
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("vswapctl: looks at a vswap service, and empties its nodes");
  app.set_version_flag("--version", std::string("vswapctl ") + kVersionText);
  app.require_subcommand(1);
  std::string address = "127.0.0.1:7410";
  app.add_option("--frontend", address, "HOST:PORT of a front-end")
      ->envname("VSWAP_LISTEN")
      ->capture_default_str();
  CLI::App* status = app.add_subcommand("status", "spaces, pages by what is behind them, nodes");
  CLI::App* check = app.add_subcommand(
      "check", "compare tables, counters, logs and inventories; exit status 1 if they differ");
  CLI::App* drain = app.add_subcommand(
      "drain", "move everything off a compressor or store, while it and its hosts go on");
  v1::DrainRequest to_drain;
  drain
      ->add_option_function<std::string>(
          "NODE", [&](const std::string& node) { to_drain.set_node(node); }, "its name (--id)")
      ->required();
  drain->add_flag_function(
      "--cancel", [&](int64_t) { to_drain.set_cancel(true); }, "leave the rest where it is");
  std::string output = "table";
  for (CLI::App* command : {status, check}) {
    command->add_option("--output", output, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (*drain) {
    return Drain(address, to_drain);
  }
  return *check ? RunCheck(address, output == "json") : ShowStatus(address, output == "json");
}

}  // namespace
}  // namespace vswap

int main(int argc, char** argv) { return vswap::Main(argc, argv); }
