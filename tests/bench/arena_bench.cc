#include <benchmark/benchmark.h>
#include <unistd.h>

#include "services/common/thread_pool.h"
#include "services/compressor/slab_arena.h"

namespace vswap {
namespace {

constexpr uint64_t kRecords = 4096;

// An arena in memory, its file removed at the end.
class ArenaForBench {
 public:
  ArenaForBench() {
    SlabArenaOptions options;
    options.path = "/dev/shm/vswap-micro-bench-" + std::to_string(getpid());
    options.data_dir_id = 1;
    options.data_dir_path = "/nonexistent";
    options.memory_max_bytes = uint64_t{64} << 20;
    options.allow_swappable = true;
    StatusOr<std::unique_ptr<SlabArena>> arena = SlabArena::Open(options, random_);
    if (arena.ok()) {
      arena_ = *std::move(arena);
    }
  }
  ~ArenaForBench() {
    if (arena_) {
      (void)arena_->Destroy();
    }
  }
  SlabArena* get() { return arena_.get(); }

 private:
  SeededRandom random_{1};
  std::unique_ptr<SlabArena> arena_;
};

PageName NameOf(uint64_t i) { return {1, i % kRecords, i + 1}; }

bool Keep(SlabArena& arena, const PageName& name, const std::vector<std::byte>& bytes) {
  SlabArena::Put put;
  put.record.name = name;
  put.record.encoding = Encoding::kLz4;
  put.record.stored_bytes = static_cast<uint16_t>(bytes.size());
  put.bytes = bytes;
  return arena.Keep(put).has_value();
}

// Each record replaces the one of its slot.
void KeepAndDelete(benchmark::State& state) {
  ArenaForBench arena;
  const std::vector<std::byte> bytes(static_cast<size_t>(state.range(0)), std::byte{7});
  uint64_t i = 0;
  for (auto _ : state) {
    if (arena.get() == nullptr || !Keep(*arena.get(), NameOf(i), bytes)) {
      state.SkipWithError("the arena takes no page");
      return;
    }
    if (i >= kRecords) {
      const PageName old = NameOf(i - kRecords);
      arena.get()->Delete({&old, 1});
    }
    ++i;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(KeepAndDelete)->Arg(1400)->Arg(4096)->Name("Arena/KeepAndDelete");

void Copy(benchmark::State& state) {
  ArenaForBench arena;
  const std::vector<std::byte> bytes(static_cast<size_t>(state.range(0)), std::byte{7});
  for (uint64_t i = 0; i < kRecords; ++i) {
    if (arena.get() == nullptr || !Keep(*arena.get(), NameOf(i), bytes)) {
      state.SkipWithError("the arena takes no page");
      return;
    }
  }
  std::vector<std::byte> payload;
  uint64_t i = 0;
  for (auto _ : state) {
    payload.clear();
    benchmark::DoNotOptimize(arena.get()->CopyTo(NameOf(i++ * 769 % kRecords), payload));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(Copy)->Arg(1400)->Arg(4096)->Name("Arena/Copy");

}  // namespace
}  // namespace vswap
