#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "client/bench/table_target.h"

namespace vswap::bench {

struct SlotsOptions {
  uint64_t entries = 1000000;
  uint32_t threads = 1;
  uint32_t shards = 64;
  uint64_t batch = 64;            // slots an operation's request has, consecutive
  uint64_t operations = 2097152;  // slots stored, loaded or freed in a phase
  uint32_t rounds = 5;
  Fill fill = Fill::kZero;
  std::string frontend;  // empty: our own front-end
  std::string space = "bench-slots";
};

// Fills so many slots, measures the memory each takes and the speed of stores, loads and frees;
// the keys of the result stand in README.md.
StatusOr<nlohmann::ordered_json> MeasureSlots(const SlotsOptions& options);

}  // namespace vswap::bench
