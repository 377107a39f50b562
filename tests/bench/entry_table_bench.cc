#include <benchmark/benchmark.h>

#include "services/common/thread_pool.h"
#include "services/frontend/entry_table.h"

namespace vswap {
namespace {

constexpr SpaceId kSpace = 1;

void Fill(EntryTable& table, Offset slots) {
  for (Offset offset = 0; offset < slots; ++offset) {
    table.Publish(kSpace, offset,
                  {Word(Backing::kCompressed, 1, offset + 1), Companion::Stored(1000)});
  }
}

void GetScattered(benchmark::State& state) {
  const auto slots = static_cast<Offset>(state.range(0));
  EntryTable table;
  Fill(table, slots);
  SeededRandom random(1);
  for (auto _ : state) {
    benchmark::DoNotOptimize(table.Get(kSpace, random.Below(slots)));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(GetScattered)->Arg(100000)->Arg(1000000)->Name("EntryTable/GetScattered");

void PublishScattered(benchmark::State& state) {
  const auto slots = static_cast<Offset>(state.range(0));
  EntryTable table;
  Fill(table, slots);
  SeededRandom random(1);
  for (auto _ : state) {
    table.Publish(kSpace, random.Below(slots), {Word(Backing::kZero, 0, 1), Companion::Stored(0)});
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(PublishScattered)->Arg(100000)->Arg(1000000)->Name("EntryTable/PublishScattered");

// A slot's change from its beginning to its end, in a cluster that is in use.
void BeginPublishSettle(benchmark::State& state) {
  EntryTable table;
  Fill(table, kClusterSlots);
  Offset offset = 0;
  for (auto _ : state) {
    ++table.InFlightOf(kSpace, offset).count;
    table.Publish(kSpace, offset, {Word(Backing::kZero, 0, 1), Companion::Stored(0)});
    table.InFlightOf(kSpace, offset).count = 0;
    table.Settle(kSpace, offset);
    offset = (offset + 1) % kClusterSlots;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BeginPublishSettle)->Name("EntryTable/BeginPublishSettle");

// A cluster that comes and goes with its only slot.
void LoneSlot(benchmark::State& state) {
  EntryTable table;
  for (auto _ : state) {
    table.Publish(kSpace, 0, {Word(Backing::kZero, 0, 1), Companion::Stored(0)});
    table.Publish(kSpace, 0, {});
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(LoneSlot)->Name("EntryTable/LoneSlot");

// What a drain looks through to find a few pages.
void EntriesOn(benchmark::State& state) {
  const auto slots = static_cast<Offset>(state.range(0));
  EntryTable table;
  Fill(table, slots);
  for (auto _ : state) {
    benchmark::DoNotOptimize(table.EntriesOn({2, 3}));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(slots));
}
BENCHMARK(EntriesOn)->Arg(4000)->Arg(1000000)->Name("EntryTable/EntriesOn");

}  // namespace
}  // namespace vswap
