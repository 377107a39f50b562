#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "client/bench/cpu_list.h"
#include "client/bench/page_calls.h"

namespace vswap::bench {

struct PagesOptions {
  PageOp op = PageOp::kOut;
  uint64_t batch = 64;
  uint64_t depth = 1;
  uint64_t pages = 16384;  // working set
  uint64_t rounds = 5;
  double seconds = 1;  // of each phase of a round
  double zero_share = 0;
  double random_share = 0;
  uint64_t seed = 1;
  CpuPlan cpus;
  std::string frontend;  // empty: start a service
  std::string vswapd;    // program of the one that is started; empty: beside this program
  std::string space = "bench-pages";
};

// Stores or loads pages, and measures beside it, round by round, what LZ4 and gRPC alone take for
// the same bytes; the keys of the result stand in README.md.
StatusOr<nlohmann::ordered_json> MeasurePages(const PagesOptions& options);

}  // namespace vswap::bench
