#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/swap_client.h"

namespace vswap {

// One measured phase of the benchmark.
struct BenchOptions {
  uint64_t pages = 65536;     // working set
  uint64_t batch_pages = 64;  // a call, consecutive slots
  uint64_t in_flight = 8;     // calls under way at once
  uint64_t seconds = 5;
  double zero_share = 0.1;    // of stored pages
  double random_share = 0.1;  // of stored pages: do not compress
  uint64_t seed = 1;
};

// What a slot always holds: zeros, noise, or text that LZ4 brings to about a third. Follows from
// seed and slot, so that loads can be compared.
void FillSlot(const BenchOptions& options, Offset offset, std::byte* page);

struct BenchResult {
  std::string name;
  uint64_t pages = 0;
  uint64_t failed_pages = 0;
  uint64_t wrong_pages = 0;
  double seconds = 0;
  std::vector<double> latencies_us;  // of each call, sorted
  double PagesPerSecond() const { return seconds > 0 ? static_cast<double>(pages) / seconds : 0; }
  // `share` 0..1 of the calls took at most so long; 0 without calls.
  double Percentile(double share) const;
};

// Stores the whole working set once.
BenchResult FillPhase(SwapClient& client, const BenchOptions& options);
// Overwrites, or loads and compares, batches at random places for so many seconds.
BenchResult StorePhase(SwapClient& client, const BenchOptions& options);
BenchResult LoadPhase(SwapClient& client, const BenchOptions& options);
// Frees the whole working set.
BenchResult FreePhase(SwapClient& client, const BenchOptions& options);

}  // namespace vswap
