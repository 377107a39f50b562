#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
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

// How long a process is away.
enum class Away {
  kShort,  // up to about the lease; one that was killed, up to a start's time
  kLong,  // beyond every time-out: the lease (3 s), a call to a node or to etcd (5 s), until a node
          // is dead (6 looks of 1 s), until shards are taken after etcd was away (6 s), and of a
          // client's silent stream (10 s); all goes on meanwhile
  kMended,  // until all has its copies and its owner without it; all goes on meanwhile
};
using enum Away;

struct Round {
  Fault fault;
  const char* role;
  Away away;
};
// Two compressors are left with one: without the other one nothing has its copies.
constexpr Round kRounds[] = {
    {kKill, "frontend", kShort},  {kKill, "compressor", kShort},   {kKill, "store", kShort},
    {kKill, "etcd", kShort},      {kStop, "frontend", kShort},     {kStop, "compressor", kShort},
    {kStop, "store", kShort},     {kStop, "etcd", kShort},         {kDestroy, "compressor", kShort},
    {kDestroy, "store", kShort},  {kCut, "frontend", kShort},      {kCut, "compressor", kShort},
    {kCut, "store", kShort},      {kCut, "etcd", kShort},          {kStop, "frontend", kLong},
    {kStop, "compressor", kLong}, {kStop, "store", kLong},         {kStop, "etcd", kLong},
    {kCut, "frontend", kLong},    {kCut, "compressor", kLong},     {kCut, "store", kLong},
    {kCut, "etcd", kLong},        {kDestroy, "compressor", kLong}, {kKill, "frontend", kMended},
    {kStop, "frontend", kMended}, {kKill, "store", kMended},       {kStop, "store", kMended},
    {kCut, "store", kMended},     {kDestroy, "store", kMended},
};
// Of a run in the suite.
struct Share {
  Away away;
  int rounds;
};
constexpr Share kSuiteShares[] = {{kShort, 3}, {kLong, 1}, {kMended, 1}};

constexpr uint64_t kFew = 8;
constexpr auto kKilledMax = milliseconds(1500);
constexpr auto kLongMin = milliseconds(11000);
constexpr auto kLongMax = milliseconds(14000);
// Front-ends that come back to etcd wait for twice their lease before they take others' shards.
constexpr auto kSettled = milliseconds(10000);

// VSWAP_TEST_MINUTES; 0: as short as it may be.
int MinutesAsked() {
  const char* const given = std::getenv("VSWAP_TEST_MINUTES");
  return given == nullptr ? 0 : std::atoi(given);
}

class Chaos : public ChaosCluster {
 protected:
  using ChaosCluster::ChaosCluster;

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
    const Reactions before = reactions_.ReadAll();
    std::printf("%s %s", kNames[static_cast<int>(fault)], process.c_str());
    if (round.away == kMended) {
      std::printf(" until all is mended\n");
      Begin(fault, process);
      ExpectProgress();
      AwaitRedundancy();
      ExpectProgress();
    } else {
      const milliseconds away = round.away == kLong ? kLongMin + Below(kLongMax - kLongMin)
                                                    : Below(fault == kKill ? kKilledMax : kAwayMax);
      std::printf(" for %lld ms\n", static_cast<long long>(away.count()));
      Begin(fault, process);
      std::this_thread::sleep_for(away);
      if (round.away == kLong) {
        ExpectProgress();
      }
    }
    End(fault, process);
    ExpectProgress();
    ExpectFrontEndsAlive();
    EXPECT_EQ(Sum().unknown, 0u) << "calls that failed";
    AwaitRedundancy();
    NoteNeedless(role, reactions_.Read() - before);
  }
  milliseconds Below(milliseconds max) {
    return milliseconds(random_.Below(static_cast<uint64_t>(max.count())));
  }
  // What there was no reason for: the process that was away is of this role.
  void NoteNeedless(const std::string& role, const Reactions& reactions) {
    if (role != "frontend") {
      needless_.shards_lost += reactions.shards_lost;
    }
    if (role != "store") {
      needless_.log_replicas_removed += reactions.log_replicas_removed;
    }
    if (role != "store" && role != "compressor") {
      needless_.pages_rebuilt += reactions.pages_rebuilt;
      needless_.pages_degraded += reactions.pages_degraded;
    }
  }
  static void Print(const char* what, const Reactions& reactions) {
    std::printf(
        "%s: %llu shards taken from a front-end that lives, %llu log replicas removed, %llu pages "
        "rebuilt, %llu stored with fewer copies\n",
        what, static_cast<unsigned long long>(reactions.shards_lost),
        static_cast<unsigned long long>(reactions.log_replicas_removed),
        static_cast<unsigned long long>(reactions.pages_rebuilt),
        static_cast<unsigned long long>(reactions.pages_degraded));
  }
  // Since `before`: a few false suspicions of processes that stood still for a moment are tolerated
  // and printed, of 16 shards and 32 log replicas. A page that was stored while a node was slow to
  // answer may have fewer copies, and is rebuilt; no other one is.
  void ExpectNobodyTakenForDead(const Reactions& before) {
    const Reactions reactions = reactions_.ReadAll() - before;
    Print("since then", reactions);
    EXPECT_LT(reactions.shards_lost, kFew);
    EXPECT_LT(reactions.log_replicas_removed, kFew);
    EXPECT_LE(reactions.pages_rebuilt, reactions.pages_degraded);
  }
  std::vector<Round> Shuffled() {
    std::vector<Round> rounds(std::begin(kRounds), std::end(kRounds));
    for (size_t i = rounds.size(); i > 1; --i) {
      std::swap(rounds[i - 1], rounds[random_.Below(i)]);
    }
    return rounds;
  }
  // Those of the suite: a few of each kind, which the seed chooses.
  std::vector<Round> Chosen() {
    std::vector<Round> chosen;
    std::map<Away, int> left;
    for (const Share& share : kSuiteShares) {
      left[share.away] = share.rounds;
    }
    for (const Round& round : Shuffled()) {
      if (left[round.away]-- > 0) {
        chosen.push_back(round);
      }
    }
    return chosen;
  }
  // In a run of the suite the seed chooses one.
  std::vector<std::string> OneOrAll(std::vector<std::string> processes) {
    if (MinutesAsked() == 0) {
      processes = {processes[random_.Below(processes.size())]};
    }
    return processes;
  }
  // Whether the node holds no page.
  bool IsEmpty(const std::string& name) {
    const std::string status = cluster_.Control("status");
    const size_t line = status.find("\n" + name + " ");
    const size_t tier = status.find("physical ", line);
    return line != std::string::npos && tier != std::string::npos &&
           std::atoi(status.c_str() + tier + 9) == 0;
  }

  Reactions needless_;  // false suspicions, as what came of them
};

// Some rounds, or all of them again and again for VSWAP_TEST_MINUTES.
TEST_F(Chaos, OneFaultAtATimeCostsNoPage) {
  ExpectPlantedPagesTold();
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  AwaitRedundancy();
  const auto end = steady_clock::now() + std::chrono::minutes(MinutesAsked());
  do {
    for (const Round& round : MinutesAsked() == 0 ? Chosen() : Shuffled()) {
      if (!HasFailure()) {
        Run(round);
      }
    }
  } while (steady_clock::now() < end && !HasFailure());
  Check();
  CheckFrees();
  ASSERT_FALSE(recoveries_.empty());
  std::ranges::sort(recoveries_);
  std::printf("full redundancy after %lld ms (median of %zu), %lld ms (longest)\n",
              static_cast<long long>(recoveries_[recoveries_.size() / 2].count()),
              recoveries_.size(), static_cast<long long>(recoveries_.back().count()));
  Print("in all", reactions_.Read());
  Print("of these, needless", needless_);
}

// A machine with all that it kept; another one takes its place after a while.
TEST_F(Chaos, ALostMachineCostsNoPage) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  AwaitRedundancy();
  for (const std::string& process : OneOrAll({"compressor/1", "store/1"})) {
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

// Longer than the lease, or a minute: stores and loads go on, and nobody is taken for dead then or
// when it is back.
TEST_F(Chaos, EtcdMayBeAwayForLongerThanTheLease) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  AwaitRedundancy();
  const Reactions before = reactions_.ReadAll();
  cluster_.Stop("etcd/1");
  const int seconds = MinutesAsked() > 0 ? 60 : 7;
  for (int second = 0; second < seconds; ++second) {
    std::this_thread::sleep_for(milliseconds(1000));
    ExpectProgress();
  }
  cluster_.Continue("etcd/1");
  std::this_thread::sleep_for(kSettled);
  ExpectProgress();
  ExpectFrontEndsAlive();
  ExpectNobodyTakenForDead(before);
  Check();
}

// A second fault. Nothing can be mended meanwhile: without a compressor new pages have one copy,
// without a front-end its shards wait, without a store the stores of shards whose log it has. But
// nobody hears of it.
TEST_F(Chaos, AProcessMayDieWhileEtcdIsAway) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  for (const std::string& process : OneOrAll({"compressor/1", "frontend/1", "store/1"})) {
    AwaitRedundancy();
    std::printf("stop etcd/1, then kill -9 %s\n", process.c_str());
    cluster_.Stop("etcd/1");
    std::this_thread::sleep_for(milliseconds(4000));
    cluster_.Kill(process);
    for (int second = 0; second < 5; ++second) {
      std::this_thread::sleep_for(milliseconds(1000));
      if (process == "compressor/1") {
        ExpectProgress();
      }
    }
    cluster_.Continue("etcd/1");
    ExpectProgress();
    cluster_.Restart(process);
    ExpectProgress();
    ExpectFrontEndsAlive();
  }
  AwaitRedundancy();
  Check();
}

class ThreeEtcdMembers : public Chaos {
 protected:
  ThreeEtcdMembers() : Chaos("--compressors 2 --stores 2 --memory-max 8MiB --etcd 3") {}
};

// The leader or another one.
TEST_F(ThreeEtcdMembers, OneMayDieOrStopWithoutAnyEffect) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  AwaitRedundancy();
  const Reactions before = reactions_.ReadAll();
  for (const Fault fault : {kKill, kStop}) {
    const std::string process = "etcd/" + std::to_string(1 + random_.Below(3));
    std::printf("%s %s\n", kNames[static_cast<int>(fault)], process.c_str());
    Begin(fault, process);
    std::this_thread::sleep_for(kAwayMax);
    ExpectProgress();
    End(fault, process);
    std::this_thread::sleep_for(milliseconds(2000));
  }
  ExpectProgress();
  ExpectNobodyTakenForDead(before);
  Check();
}

// Away for longer than its lease, it loses its shards, and comes back.
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
  for (const std::string& process : OneOrAll({"frontend/1", "frontend/2"})) {
    lose(networks_ && process == "frontend/2" ? kCut : kStop, process);
  }
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
