#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "services/common/page.h"
#include "services/common/status.h"

namespace vswap::bench {

struct SparseOptions {
  uint64_t clusters = 1000000;
  uint64_t pages = kSpacePagesMax;  // range that they are spread over
  uint32_t shards = 64;
  uint32_t rounds = 1;
  std::string frontend;  // empty: our own front-end
  std::string space = "bench-sparse";
};

// Stores one slot in each of so many clusters and frees them; the keys of the result stand in
// README.md. INVALID_ARGUMENT where the range has fewer clusters.
StatusOr<nlohmann::ordered_json> MeasureSparse(const SparseOptions& options);

}  // namespace vswap::bench
