#include <algorithm>
#include <cstdio>
#include <thread>
#include <vector>

#include "tests/chaos/chaos_faults.h"
#include "tests/chaos/planted_pages.h"

// A cluster of real processes under load, one fault at a time: no page is wrong, none is lost, and
// no caller hears of it within its patience.
namespace vswap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using enum Fault;

// Some rounds; or all of them, again and again, as far as VSWAP_TEST_MINUTES go.
TEST_F(Chaos, OneFaultAtATimeCostsNoPage) {
  ExpectPlantedPagesTold();
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  StoreKnown();
  AwaitRedundancy();
  const auto end = steady_clock::now() + std::chrono::minutes(MinutesAsked());
  std::vector<Round> rounds = MinutesAsked() == 0 ? Chosen() : Shuffled();
  while (!HasFailure() && (MinutesAsked() == 0 ? !rounds.empty() : steady_clock::now() < end)) {
    Run(rounds.back());
    rounds.pop_back();
    if (rounds.empty() && MinutesAsked() > 0) {
      rounds = Shuffled();
    }
  }
  Check();
  FreeAll();
  Check();
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

class LeavingStore : public Chaos {
 protected:
  // Whether the node holds no page.
  bool IsEmpty(const std::string& name) {
    const std::string status = cluster_.Control("status");
    const size_t line = status.find("\n" + name + " ");
    const size_t tier = status.find("physical ", line);
    return line != std::string::npos && tier != std::string::npos &&
           std::atoi(status.c_str() + tier + 9) == 0;
  }
};

// And a front-end dies meanwhile; the store is taken away at last, with nothing on it.
TEST_F(LeavingStore, IsEmptiedWhileAllGoOn) {
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
