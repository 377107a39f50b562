#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <thread>
#include <vector>

#include "tests/chaos/chaos_cluster.h"
#include "tests/chaos/planted_pages.h"

// A cluster of real processes under load, one fault at a time: no page is wrong, none is lost, and
// no caller hears of it within its patience.
namespace vswap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

enum class Fault { kKill, kStop, kCut, kDestroy };
using enum Fault;

constexpr const char* kNames[] = {"kill -9", "stop", "cut off", "destroy"};
struct Round {
  Fault fault;
  const char* role;
};
// In an order of the seed's.
constexpr Round kRounds[] = {
    {kKill, "frontend"}, {kKill, "compressor"}, {kKill, "store"},         {kKill, "etcd"},
    {kStop, "frontend"}, {kStop, "compressor"}, {kDestroy, "compressor"}, {kDestroy, "store"},
    {kCut, "frontend"},  {kCut, "compressor"},  {kCut, "store"},          {kCut, "etcd"},
};
constexpr auto kKilledMax = milliseconds(1500);

class Chaos : public ChaosCluster {
 protected:
  void Begin(Fault fault, const std::string& process) {
    switch (fault) {
      case kKill:
        return cluster_.Kill(process);
      case kStop:
        return cluster_.Stop(process);
      case kCut:
        return cluster_.Cut(process);
      case kDestroy:
        return cluster_.Destroy(process);
    }
  }
  void End(Fault fault, const std::string& process) {
    switch (fault) {
      case kStop:
        return cluster_.Continue(process);
      case kCut:
        return cluster_.Join(process);
      default:
        return cluster_.Restart(process);
    }
  }
  // One fault and its end; all spaces have gone on at last, and everything has its copies.
  void Run(const Round& round) {
    const std::string role = round.role;
    const Fault fault = round.fault == kCut && !networks_ ? kStop : round.fault;
    const uint64_t processes = role == "store" ? 3 : role == "etcd" ? 1 : 2;
    const std::string process = role + "/" + std::to_string(1 + random_.Below(processes));
    const milliseconds away(random_.Below((fault == kKill ? kKilledMax : kAwayMax).count()));
    std::printf("%s %s for %lld ms\n", kNames[static_cast<int>(fault)], process.c_str(),
                static_cast<long long>(away.count()));
    Begin(fault, process);
    std::this_thread::sleep_for(away);
    End(fault, process);
    ExpectProgress();
    ExpectFrontEndsAlive();
    EXPECT_EQ(Sum().unknown, 0u) << "calls that failed";
    AwaitRedundancy();
  }
  std::vector<Round> Shuffled() {
    std::vector<Round> rounds(std::begin(kRounds), std::end(kRounds));
    for (size_t i = rounds.size(); i > 1; --i) {
      std::swap(rounds[i - 1], rounds[random_.Below(i)]);
    }
    return rounds;
  }
  // Whether the node holds no page.
  bool IsEmpty(const std::string& name) {
    const std::string status = cluster_.Control("status");
    const size_t line = status.find("\n" + name + " ");
    const size_t tier = status.find("physical ", line);
    EXPECT_NE(line, std::string::npos) << status;
    return tier != std::string::npos && std::atoi(status.c_str() + tier + 9) == 0;
  }
};

// VSWAP_TEST_MINUTES; 0: as short as it may be.
int MinutesAsked() {
  const char* const given = std::getenv("VSWAP_TEST_MINUTES");
  return given == nullptr ? 0 : std::atoi(given);
}

// All rounds once, or for VSWAP_TEST_MINUTES.
TEST_F(Chaos, OneFaultAtATimeCostsNoPage) {
  ExpectPlantedPagesTold();
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  const auto end = steady_clock::now() + std::chrono::minutes(MinutesAsked());
  do {
    for (const Round& round : Shuffled()) {
      if (!HasFailure()) {
        Run(round);
      }
    }
  } while (steady_clock::now() < end && !HasFailure());
  Check();
  ASSERT_FALSE(recoveries_.empty());
  std::ranges::sort(recoveries_);
  std::printf("%zu faults; full redundancy after %lld ms (median), %lld ms (longest)\n",
              recoveries_.size(),
              static_cast<long long>(recoveries_[recoveries_.size() / 2].count()),
              static_cast<long long>(recoveries_.back().count()));
}

// A machine with all that it kept; another one takes its place after a while.
TEST_F(Chaos, ALostMachineCostsNoPage) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  AwaitRedundancy();
  for (const std::string process : {"compressor/1", "store/1"}) {
    const milliseconds away(random_.Below(8000));
    std::printf("destroy %s for %lld ms\n", process.c_str(), static_cast<long long>(away.count()));
    cluster_.Destroy(process);
    ExpectProgress();
    std::this_thread::sleep_for(away);
    cluster_.Restart(process);
    ExpectProgress();
    AwaitRedundancy();
    if (HasFailure()) {
      break;
    }
  }
  Check();
}

// Longer than the lease, or a minute: stores and loads go on, and nobody is taken for dead for
// good.
TEST_F(Chaos, EtcdMayBeAwayForLongerThanTheLease) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  ExpectProgress();
  cluster_.Stop("etcd/1");
  const int seconds = MinutesAsked() > 0 ? 60 : 7;
  for (int second = 0; second < seconds; ++second) {
    std::this_thread::sleep_for(milliseconds(1000));
    ExpectProgress();
  }
  cluster_.Continue("etcd/1");
  std::this_thread::sleep_for(milliseconds(5000));
  ExpectProgress();
  ExpectFrontEndsAlive();
  Check();
}

// Nothing can be mended then, and new pages have one copy: but nobody hears of it.
TEST_F(Chaos, ACompressorMayDieWhileEtcdIsAway) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  AwaitRedundancy();
  cluster_.Stop("etcd/1");
  std::this_thread::sleep_for(milliseconds(4000));
  cluster_.Kill("compressor/1");
  for (int second = 0; second < 5; ++second) {
    std::this_thread::sleep_for(milliseconds(1000));
    ExpectProgress();
  }
  cluster_.Continue("etcd/1");
  cluster_.Restart("compressor/1");
  ExpectProgress();
  ExpectFrontEndsAlive();
  AwaitRedundancy();
  Check();
}

// Each in turn is away for longer than its lease, loses its shards, and comes back.
TEST_F(Chaos, AFrontEndMayLoseItsLease) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  const auto lose = [this](Fault fault, const std::string& process) {
    Begin(fault, process);
    std::this_thread::sleep_for(kAwayMax);
    ExpectProgress();
    EXPECT_FALSE(cluster_.Answers(process));
    End(fault, process);
    ExpectProgress();
    EXPECT_TRUE(PollUntil([&] { return cluster_.Answers(process); }));
  };
  lose(kStop, "frontend/1");
  lose(networks_ ? kCut : kStop, "frontend/2");
  cluster_.Kill("frontend/1");
  ExpectProgress();
  cluster_.Restart("frontend/1");
  Check();
}

// And a front-end dies meanwhile; the store is taken away at last, with nothing on it.
TEST_F(Chaos, AStoreIsEmptiedWhileAllGoOn) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  ExpectProgress();
  EXPECT_FALSE(IsEmpty("store-1"));
  cluster_.Control("drain store-1");
  cluster_.Kill("frontend/2");
  ExpectProgress();
  cluster_.Restart("frontend/2");
  EXPECT_TRUE(PollUntil([this] { return IsEmpty("store-1"); })) << cluster_.Control("status");
  AwaitRedundancy();
  cluster_.Destroy("store/1");
  ExpectProgress();
  Check();
}

}  // namespace
}  // namespace vswap
