#include <benchmark/benchmark.h>

#include <array>
#include <cstring>

#include "services/common/checksum.h"
#include "services/common/thread_pool.h"
#include "services/compressor/codec.h"

namespace vswap {
namespace {

using Page = std::array<std::byte, kPageBytes>;

// A third of it is noise, the rest repeats.
Page MixedPage() {
  Page page{};
  SeededRandom random(1);
  for (size_t at = 0; at < kPageBytes; at += 24) {
    const uint64_t word = random.Next64();
    std::memcpy(page.data() + at, &word, std::min(sizeof(word), kPageBytes - at));
  }
  return page;
}

void SetPages(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kPageBytes));
}

void Checksum(benchmark::State& state) {
  const Page page = MixedPage();
  for (auto _ : state) {
    benchmark::DoNotOptimize(PageChecksum(1, 2, {3, 4}, page));
  }
  SetPages(state);
}
BENCHMARK(Checksum)->Name("Page/Checksum");

void Compress(benchmark::State& state) {
  const Page page = MixedPage();
  for (auto _ : state) {
    benchmark::DoNotOptimize(CompressPage(page));
  }
  SetPages(state);
}
BENCHMARK(Compress)->Name("Page/Compress");

void Expand(benchmark::State& state) {
  const auto block = CompressPage(MixedPage());
  if (!block) {
    state.SkipWithError("the page does not compress");
    return;
  }
  Page plain;
  for (auto _ : state) {
    benchmark::DoNotOptimize(ExpandPage(*block, plain));
  }
  SetPages(state);
}
BENCHMARK(Expand)->Name("Page/Expand");

void ZeroCheck(benchmark::State& state) {
  const Page page{};
  for (auto _ : state) {
    benchmark::DoNotOptimize(IsZeroPage(page));
  }
  SetPages(state);
}
BENCHMARK(ZeroCheck)->Name("Page/ZeroCheckOfZeros");

}  // namespace
}  // namespace vswap
