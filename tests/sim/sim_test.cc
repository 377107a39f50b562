#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "services/common/mutex.h"
#include "tests/sim/simulation.h"

namespace vswap {
namespace {

constexpr auto kSuiteTime = std::chrono::seconds(40);
constexpr uint64_t kSeedsMin = 1000;  // however long they take
// A seed takes 30 to 50 ms of a processor. Over this something is wrong, and not only slow.
constexpr auto kSuiteTimeMax = std::chrono::minutes(20);
constexpr uint64_t kSeedsForABug = 3000;

// What must have come about, so often in a hundred seeds: about a third of what does.
struct Expected {
  const char* kind;
  uint64_t in_100_seeds;
};
constexpr Expected kExpected[] = {
    {"request", 130000},
    {"attached", 150},
    {"shards taken", 400},
    {"shards lost", 40},
    {"shards released", 40},
    {"answer by a former owner", 1},
    {"fenced", 50},
    {"stores fenced", 10},
    {"pages moved", 400},
    {"pages rebuilt", 100},
    {"pages repaired", 3},
    {"pages written back", 150},
    {"pages marked lost", 30},
    {"orphans deleted", 100},
    {"log replicas added", 100},
    {"log replicas removed", 60},
    {"machine down", 10},
    {"page not synced", 3},
    {"entries allocated", 600},
    {"allocations without room", 3},
    {"references added", 1000},
    {"changes found done", 5},
    {"changes found not done", 5},
};

std::optional<uint64_t> GivenSeed() {
  const char* const given = std::getenv("VSWAP_TEST_SEED");
  return given == nullptr ? std::nullopt : std::optional(std::strtoull(given, nullptr, 0));
}

// What front-ends say of their shards would be most of the output of many seeds.
class Quiet : public testing::Environment {
 public:
  void SetUp() override {
    spdlog::set_pattern("%v");
    spdlog::set_level(GivenSeed() ? spdlog::level::info : spdlog::level::off);
  }
};
const testing::Environment* const kQuiet = testing::AddGlobalTestEnvironment(new Quiet);

std::string Join(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    text += "\n  " + line;
  }
  return text;
}

// Runs seeds from `first` on, on every processor, as long as `more` says of the next one. Each that
// was begun comes to its end and is told to `ended`, in any order. One call at a time.
void ForSeeds(uint64_t first, PlantedBug bug, Simulation::Faults faults,
              const std::function<bool(uint64_t)>& more,
              const std::function<void(uint64_t, const Simulation::Result&)>& ended) {
  Mutex mutex;
  uint64_t next = first;
  const auto work = [&] {
    for (;;) {
      uint64_t seed = 0;
      {
        MutexLock lock(mutex);
        if (!more(next)) {
          return;
        }
        seed = next++;
      }
      const Simulation::Result result = Simulation(seed, bug, faults).Run();
      MutexLock lock(mutex);
      ended(seed, result);
    }
  };
  std::vector<std::jthread> workers;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) {
    workers.emplace_back(work);
  }
}

// Runs seeds from `first` on until one fails, or the time is over and there were enough.
void RunSeeds(uint64_t first, std::chrono::steady_clock::duration time) {
  const auto began = std::chrono::steady_clock::now();
  const auto since = [began] { return std::chrono::steady_clock::now() - began; };
  uint64_t seeds = 0;
  uint64_t requests = 0;
  uint64_t pages_checked = 0;
  double seconds = 0;
  std::map<std::string, uint64_t> counts;
  std::map<uint64_t, std::vector<std::string>> failed;
  const auto more = [&](uint64_t seed) {
    const bool enough = seed - first >= kSeedsMin;
    return failed.empty() &&
           since() < (enough ? time : std::max<decltype(time)>(time, kSuiteTimeMax));
  };
  ForSeeds(first, PlantedBug::kNone, Simulation::Faults::kAll, more,
           [&](uint64_t seed, const Simulation::Result& result) {
             ++seeds;
             requests += result.requests;
             pages_checked += result.pages_checked;
             seconds += result.seconds;
             for (const auto* of_run : {&result.counts, &result.counters}) {
               for (const auto& [kind, count] : *of_run) {
                 counts[kind] += count;
               }
             }
             if (!result.wrong.empty()) {
               failed[seed] = result.wrong;
             }
           });
  for (const auto& [seed, wrong] : failed) {
    ADD_FAILURE() << "VSWAP_TEST_SEED=" << seed << Join(wrong);
  }
  EXPECT_TRUE(!failed.empty() || seeds >= kSeedsMin)
      << "too slow: " << seeds << " of " << kSeedsMin << " seeds in "
      << std::chrono::duration_cast<std::chrono::seconds>(since()).count() << " s";
  std::printf(
      "%llu seeds from %llu on, %.0f s of virtual time, %llu requests, %llu pages checked\n",
      static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(first), seconds,
      static_cast<unsigned long long>(requests), static_cast<unsigned long long>(pages_checked));
  for (const auto& [kind, count] : counts) {
    std::printf("%12llu %s\n", static_cast<unsigned long long>(count), kind.c_str());
  }
  if (testing::Test::HasFailure()) {
    return;
  }
  EXPECT_GT(pages_checked, 200 * seeds);
  for (const auto& [kind, in_100_seeds] : kExpected) {
    EXPECT_GE(counts[kind], in_100_seeds * seeds / 100) << kind;
  }
}

// One given seed, with everything that happens, or as many as there is time for.
TEST(Simulation, NothingGoesWrong) {
  if (const std::optional<uint64_t> seed = GivenSeed()) {
    Simulation simulation(*seed, PlantedBug::kNone);
    simulation.SetLog([](const std::string& line) { std::printf("%s\n", line.c_str()); });
    const Simulation::Result result = simulation.Run();
    EXPECT_TRUE(result.wrong.empty()) << "VSWAP_TEST_SEED=" << *seed << Join(result.wrong);
    return;
  }
  RunSeeds(1, kSuiteTime);
}

TEST(Simulation, ASeedReplaysExactly) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Simulation::Result first = Simulation(seed, PlantedBug::kNone).Run();
    const Simulation::Result second = Simulation(seed, PlantedBug::kNone).Run();
    EXPECT_EQ(first.trace, second.trace) << "seed " << seed;
    EXPECT_EQ(first.counts, second.counts) << "seed " << seed;
  }
}

class PlantedBugs : public testing::TestWithParam<PlantedBug> {};

TEST_P(PlantedBugs, IsFound) {
  // These take a thousand seeds and more where everything else happens too.
  const bool of_owners =
      GetParam() == PlantedBug::kNoProof || GetParam() == PlantedBug::kUnprovenLoads;
  const auto faults = of_owners ? Simulation::Faults::kOfOwners : Simulation::Faults::kAll;
  std::map<uint64_t, std::string> found;
  ForSeeds(
      1, GetParam(), faults, [&](uint64_t seed) { return found.empty() && seed <= kSeedsForABug; },
      [&](uint64_t seed, const Simulation::Result& result) {
        if (!result.wrong.empty()) {
          found[seed] = result.wrong.front();
        }
      });
  ASSERT_FALSE(found.empty()) << Name(GetParam()) << " was not found by " << kSeedsForABug
                              << " seeds";
  const auto& [seed, wrong] = *found.begin();
  EXPECT_TRUE(Simulation(seed, PlantedBug::kNone, faults).Run().wrong.empty()) << "also without it";
  std::printf("%s: found by seed %llu:\n  %s\n", Name(GetParam()),
              static_cast<unsigned long long>(seed), wrong.c_str());
}

INSTANTIATE_TEST_SUITE_P(
    Each, PlantedBugs,
    testing::Values(PlantedBug::kPublishWithoutComparing, PlantedBug::kAcknowledgeBeforeLog,
                    PlantedBug::kTakeoverWithoutMerging, PlantedBug::kReleaseBeforePublication,
                    PlantedBug::kNoProof, PlantedBug::kNoFence, PlantedBug::kDuplicateAppliedTwice,
                    PlantedBug::kUnprovenLoads, PlantedBug::kLeftoverDeletedEverywhere,
                    PlantedBug::kOrphansByNameOnly, PlantedBug::kOneCopyAcknowledged,
                    PlantedBug::kUnknownIncarnationBelieved, PlantedBug::kFreeAppliedTwice,
                    PlantedBug::kAllocationAppliedTwice, PlantedBug::kAnswersNotLogged,
                    PlantedBug::kLogIncarnationKept),
    [](const auto& param) {
      std::string name = Name(param.param);
      std::erase(name, ' ');
      return name;
    });

// With label long: for VSWAP_TEST_MINUTES, with other seeds each time.
TEST(Simulation, LongNothingGoesWrong) {
  const char* const given = std::getenv("VSWAP_TEST_MINUTES");
  const int minutes = given == nullptr ? 5 : std::atoi(given);
  RunSeeds(GivenSeed().value_or(SystemRandom().Next64() >> 16), std::chrono::minutes(minutes));
}

}  // namespace
}  // namespace vswap
