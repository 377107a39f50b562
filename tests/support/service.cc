#include "tests/support/service.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <thread>

namespace vswap {
namespace {

// The arena's superblock, and what tmpfs rounds up to.
constexpr uint64_t kEmptyArenaBytesMax = 64 * 1024;

bool Holds(const v1::SpaceStatus& space) {
  return space.zero_pages() + space.compressed_pages() + space.physical_pages() +
             space.lost_pages() >
         0;
}

bool IsEmpty(const v1::GetStatusResponse& status) {
  return status.reconciled() && std::ranges::none_of(status.spaces(), Holds) &&
         std::ranges::all_of(status.nodes(), [](const auto& node) { return node.pages() == 0; });
}

std::string ReadAll(const std::string& command) {
  FILE* const pipe = popen(command.c_str(), "r");
  std::string text;
  char buffer[4096];
  while (const size_t bytes = fread(buffer, 1, sizeof(buffer), pipe)) {
    text.append(buffer, bytes);
  }
  pclose(pipe);
  return text;
}

}  // namespace

bool PollUntil(const std::function<bool()>& condition, Duration patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

Service::Service(std::vector<std::string> flags)
    : process_(VSWAPD, directory_.path() + "/data", std::move(flags)) {
  const Status started = process_.Start();
  EXPECT_TRUE(started.ok()) << started;
}

void Service::Restart() {
  process_.Kill();
  const Status started = process_.Start();
  ASSERT_TRUE(started.ok()) << started;
}

ClientOptions Service::OptionsFor(const std::string& space, uint64_t pages) const {
  ClientOptions options;
  options.frontend = process_.listen();
  options.space = space;
  options.holder = "test";
  options.create_pages = pages;
  options.patience = std::chrono::seconds(120);
  return options;
}

std::unique_ptr<SwapClient> Service::Open(const std::string& space, uint64_t pages) const {
  StatusOr<std::unique_ptr<SwapClient>> client = SwapClient::Open(OptionsFor(space, pages));
  EXPECT_TRUE(client.ok()) << client.status();
  return client.ok() ? *std::move(client) : nullptr;
}

uint64_t Service::ArenaBytes() const {
  struct stat file = {};
  return stat(process_.arena().c_str(), &file) == 0 ? static_cast<uint64_t>(file.st_blocks) * 512
                                                    : 0;
}

uint64_t Service::ResidentBytes() const {
  std::ifstream file("/proc/" + std::to_string(process_.pid()) + "/status");
  std::string word;
  uint64_t kib = 0;
  while (file >> word) {
    if (word == "VmRSS:") {
      file >> kib;
    }
  }
  return kib * 1024;
}

uint64_t MetricIn(const std::string& metrics, const std::string& name) {
  const std::string text = "\n" + metrics;
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos
             ? 0
             : static_cast<uint64_t>(std::strtod(text.c_str() + at + name.size() + 2, nullptr));
}

uint64_t Service::Metric(const std::string& name) const {
  return MetricIn(ReadAll("curl -sf http://" + process_.metrics() + "/metrics"), name);
}

void Service::ExpectEmpty() const {
  StatusOr<v1::GetStatusResponse> status;
  EXPECT_TRUE(PollUntil([&] {
    status = process_.GetStatus();
    return status.ok() && IsEmpty(*status);
  })) << status->DebugString();
  EXPECT_TRUE(PollUntil([&] { return ArenaBytes() <= kEmptyArenaBytesMax; })) << ArenaBytes();
}

}  // namespace vswap
