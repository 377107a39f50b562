#include <cstdio>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/chaos/chaos_faults.h"

// A cluster of real processes under load, whose etcd is away: nobody hears of it.
namespace vswap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
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

// Stores and loads go on, and nobody is taken for dead then or when it is back.
TEST_F(EtcdFaults, EtcdMayBeAwayForAMinute) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  AwaitRedundancy();
  const Reactions before = reactions_.ReadAll();
  cluster_.Stop("etcd/1");
  const auto back = steady_clock::now() + std::chrono::seconds(60);
  while (steady_clock::now() < back) {
    std::this_thread::sleep_for(milliseconds(3000));
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
// nobody hears of it, and all is mended once etcd is back.
TEST_F(EtcdFaults, AnotherProcessMayFailWhileEtcdIsAway) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  AwaitRedundancy();
  std::vector<std::pair<Fault, std::string>> seconds;
  for (const std::string role : {"frontend", "compressor", "store"}) {
    for (const Fault fault : {kKill, kStop, kCut, kDestroy}) {
      if (fault != kDestroy || role != "frontend") {
        seconds.emplace_back(fault, role);
      }
    }
  }
  for (const auto& [fault, role] : OneOrAll(seconds)) {
    const std::string process = AnyOf(role);
    std::printf("stop etcd/1, then %s %s\n", NameOf(fault), process.c_str());
    cluster_.Stop("etcd/1");
    std::this_thread::sleep_for(milliseconds(4000));
    Begin(fault, process);
    for (int second = 0; second < 5; ++second) {
      std::this_thread::sleep_for(milliseconds(1000));
      if (role == "compressor") {
        ExpectProgress();
      }
    }
    cluster_.Continue("etcd/1");
    ExpectProgress();
    End(fault, process);
    ExpectProgress();
    ExpectFrontEndsAlive();
    AwaitRedundancy();
    if (HasFailure()) {
      break;
    }
  }
  Check();
}

class ThreeEtcdMembers : public EtcdFaults {
 protected:
  ThreeEtcdMembers() : EtcdFaults("--compressors 2 --stores 3 --memory-max 8MiB --etcd 3") {}

  // The leader or another one.
  std::string Lose(Fault fault) {
    const std::string member = "etcd/" + std::to_string(1 + random_.Below(3));
    std::printf("%s %s\n", NameOf(fault), member.c_str());
    Begin(fault, member);
    return member;
  }
};

// For about the lease, or for longer than every time-out; or a process of another role fails
// meanwhile, which is mended without it.
TEST_F(ThreeEtcdMembers, OneMayBeAwayWithoutAnyEffect) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  AwaitRedundancy();
  for (const std::string& meanwhile : OneOrAll({"", "frontend", "compressor", "store"})) {
    for (const Fault fault : OneOrAll<Fault>({kKill, kStop, kCut})) {
      const Reactions before = reactions_.ReadAll();
      const std::string member = Lose(fault);
      if (meanwhile.empty()) {
        const milliseconds away = kAwayMax + Below(kLongMax - kAwayMax);
        std::this_thread::sleep_for(away);
        ExpectProgress();
      } else {
        Run(OneOf(meanwhile));
      }
      End(fault, member);
      std::this_thread::sleep_for(milliseconds(2000));
      ExpectProgress();
      if (meanwhile.empty()) {
        ExpectNobodyTakenForDead(before);
      }
    }
  }
  Check();
}

}  // namespace
}  // namespace vswap
