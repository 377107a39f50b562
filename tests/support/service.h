#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/swap_client.h"
#include "tests/support/page_bytes.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vswapd_process.h"

namespace vswap {

// Asks until the condition holds. False when the time is over first.
bool PollUntil(const std::function<bool()>& condition,
               Duration patience = std::chrono::seconds(120));

// One number of what /metrics tells, by its name and labels as written there; 0 where it is not.
uint64_t MetricIn(const std::string& metrics, const std::string& name);

// A vswapd process in a fresh directory, and what a test wants to know of it. Thread-confined.
class Service {
 public:
  // Starts it; GoogleTest's failures tell where it does not.
  explicit Service(std::vector<std::string> flags);

  VswapdProcess& process() { return process_; }
  std::string data_dir() const { return directory_.path() + "/data"; }
  // SIGKILL, and again on the same data.
  void Restart();

  ClientOptions OptionsFor(const std::string& space, uint64_t pages) const;
  // Null after a failure.
  std::unique_ptr<SwapClient> Open(const std::string& space, uint64_t pages) const;

  // Memory that the arena's file takes.
  uint64_t ArenaBytes() const;
  // VmRSS; a field of /proc/PID/status.
  uint64_t ResidentBytes() const;
  // See MetricIn.
  uint64_t Metric(const std::string& name) const;
  // That, in the end, no page is in a table or on a node, and the arena has given its memory back.
  void ExpectEmpty() const;

 private:
  TempDir directory_;
  VswapdProcess process_;
};

}  // namespace vswap
