#include <algorithm>
#include <cstdio>
#include <thread>
#include <vector>

#include "tests/chaos/chaos_faults.h"

// A cluster of real processes under load, whose etcd is away: nobody hears of it.
namespace vswap {
namespace {

using std::chrono::milliseconds;
using enum Fault;

constexpr uint64_t kFew = 8;
// Front-ends that come back to etcd wait for twice their lease before they take others' shards.
constexpr auto kSettled = milliseconds(10000);

class EtcdFaults : public Chaos {
 protected:
  using Chaos::Chaos;

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
};

// Longer than the lease, or a minute: stores and loads go on, and nobody is taken for dead then or
// when it is back.
TEST_F(EtcdFaults, EtcdMayBeAwayForLongerThanTheLease) {
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
TEST_F(EtcdFaults, AProcessMayDieWhileEtcdIsAway) {
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

class ThreeEtcdMembers : public EtcdFaults {
 protected:
  ThreeEtcdMembers() : EtcdFaults("--compressors 2 --stores 2 --memory-max 8MiB --etcd 3") {}
};

// The leader or another one.
TEST_F(ThreeEtcdMembers, OneMayDieOrStopWithoutAnyEffect) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  AwaitRedundancy();
  const Reactions before = reactions_.ReadAll();
  for (const Fault fault : {kKill, kStop}) {
    const std::string process = "etcd/" + std::to_string(1 + random_.Below(3));
    std::printf("%s %s\n", NameOf(fault), process.c_str());
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

}  // namespace
}  // namespace vswap
