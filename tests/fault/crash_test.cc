#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "tests/model/client_space.h"
#include "tests/model/device_workload.h"
#include "tests/support/seed.h"
#include "tests/support/service.h"

// kill -9 of a real vswapd at random moments under load, on and on: what was acknowledged is there
// and right, and no caller hears of it.
namespace vswap {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kSpacePages = 1 << 20;

// One space with its client, and a thread that keeps calls under way.
class Tenant {
 public:
  Tenant(const Service& service, SpaceId id, const DeviceWorkload::Options& options)
      : client_(service.Open("space-" + std::to_string(id), kSpacePages)),
        space_(*client_),
        workload_(space_, id, options),
        thread_([this](const std::stop_token& stop) { Run(stop); }) {}

  DeviceWorkload& workload() { return workload_; }
  ClientSpace& space() { return space_; }
  void Pause() { paused_ = true; }
  void Resume() { paused_ = false; }
  uint64_t issued() { return workload_.counts().issued; }
  // Returns when nothing is under way; only while paused.
  void Calm() {
    EXPECT_TRUE(PollUntil([this] { return workload_.Idle(); })) << "it never ends";
  }

 private:
  void Run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      if (paused_ || !workload_.IssueOne()) {
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
    }
  }

  std::unique_ptr<SwapClient> client_;
  ClientSpace space_;
  DeviceWorkload workload_;
  std::atomic<bool> paused_{false};
  std::jthread thread_;  // first to end; the client then cancels what is under way
};

std::vector<Offset> Regions(uint64_t count) {
  std::vector<Offset> regions;
  for (Offset i = 0; i < count; ++i) {
    regions.push_back(i * 9000 + 400);
  }
  return regions;
}

class Crash : public testing::Test {
 protected:
  // Two tiers that are both full at times.
  static std::vector<std::string> Flags(bool keep_arena) {
    std::vector<std::string> flags = {"--memory-max", "4MiB", "--capacity-pages", "1500",
                                      "--shards",     "5",    "--block-cache",    "1MiB"};
    if (keep_arena) {
      flags.push_back("--keep-arena");
    }
    return flags;
  }

  void AddTenants(bool loss_allowed) {
    // Few slots that are overwritten all the time, single pages, and many slots in large batches.
    const DeviceWorkload::Options kinds[] = {
        {.seed = random_.Next64(), .regions = {0, 480, 40000}, .loss_allowed = loss_allowed},
        {.seed = random_.Next64(),
         .regions = Regions(8),
         .region_slots = 256,
         .batch_pages_max = 1,
         .under_way_max = 32},
        {.seed = random_.Next64(),
         .regions = Regions(32),
         .region_slots = 256,
         .batch_pages_max = 32,
         .under_way_max = 8}};
    for (const DeviceWorkload::Options& kind : kinds) {
      tenants_.push_back(std::make_unique<Tenant>(service_, tenants_.size() + 1, kind));
    }
  }

  void NoteDeath() {
    for (const auto& tenant : tenants_) {
      tenant->space().NoteDeath();
    }
  }
  void Kill() {
    service_.process().Kill();
    NoteDeath();
    ++kills_;
  }
  // Ends the process in one of the ways in which it may end, and starts it again.
  void Restart() {
    const uint64_t dice = random_.Below(20);
    if (dice < 4) {  // moves what the store has room for, or leaves everything in the arena
      ASSERT_EQ(service_.process().Terminate(), 0);
      NoteDeath();
      ++stops_;
    } else if (dice < 7) {  // killed in the middle of a clean stop
      kill(service_.process().pid(), SIGTERM);
      std::this_thread::sleep_for(milliseconds(random_.Below(100)));
      Kill();
    } else {
      Kill();
    }
    service_.process().SetFlags(Flags(random_.Below(2) == 0));
    while (random_.Below(4) == 0) {  // killed again while it recovers
      ASSERT_TRUE(service_.process().StartOnly().ok());
      std::this_thread::sleep_for(milliseconds(random_.Below(150)));
      Kill();
    }
    const Status started = service_.process().Start();
    ASSERT_TRUE(started.ok()) << started;
  }
  // A random while with load, and then the end of it; at last every space has gone on.
  void Round() {
    std::this_thread::sleep_for(milliseconds(random_.Below(1800)));
    Restart();
    std::vector<uint64_t> issued;
    for (const auto& tenant : tenants_) {
      issued.push_back(tenant->issued());
    }
    for (size_t i = 0; i < tenants_.size(); ++i) {
      EXPECT_TRUE(PollUntil([&] { return tenants_[i]->issued() > issued[i] + 20; }))
          << "space " << i + 1 << " does not go on";
    }
  }

  void ForEach(void (Tenant::*method)()) {
    for (const auto& tenant : tenants_) {
      ((*tenant).*method)();
    }
  }
  void Check() {
    ForEach(&Tenant::Pause);
    ForEach(&Tenant::Calm);
    for (const auto& tenant : tenants_) {
      tenant->workload().LoadAll();
    }
    ForEach(&Tenant::Calm);
    for (const auto& tenant : tenants_) {
      for (const std::string& line : tenant->workload().wrong_pages()) {
        ADD_FAILURE() << line;
      }
      const Workload::Counts counts = tenant->workload().counts();
      EXPECT_EQ(counts.unknown, 0u) << "requests that failed";
      EXPECT_EQ(counts.unavailable_pages, 0u);
    }
  }
  void Print() {
    Workload::Counts sum;
    for (const auto& tenant : tenants_) {
      sum += tenant->workload().counts();
    }
    std::printf("%d kills, %d clean stops, %s\n", kills_, stops_, sum.ToString().c_str());
  }
  void FreeAllAndExpectEmpty() {
    for (const auto& tenant : tenants_) {
      tenant->workload().FreeAll();
    }
    Check();
    service_.ExpectEmpty();
  }

  SeededRandom random_{TestSeed()};
  Service service_{Flags(false)};
  std::vector<std::unique_ptr<Tenant>> tenants_;
  int kills_ = 0;
  int stops_ = 0;
};

TEST_F(Crash, NothingAcknowledgedIsLostOrWrong) {
  AddTenants(false);
  constexpr int kRounds = 20;
  for (int round = 1; round <= kRounds && !HasFailure(); ++round) {
    Round();
    if (round % 4 == 0) {
      Check();
      ForEach(&Tenant::Resume);
    }
  }
  Check();
  Print();
  FreeAllAndExpectEmpty();
  Restart();  // what killed processes left on the nodes is found
  service_.ExpectEmpty();
}

// With label long: for VSWAP_TEST_MINUTES.
TEST_F(Crash, LongNothingAcknowledgedIsLostOrWrong) {
  const char* const given = std::getenv("VSWAP_TEST_MINUTES");
  const std::chrono::minutes time(given != nullptr ? std::atoi(given) : 5);
  const auto end = std::chrono::steady_clock::now() + time;
  AddTenants(false);
  for (int round = 1; std::chrono::steady_clock::now() < end && !HasFailure(); ++round) {
    Round();
    if (round % 10 == 0) {
      Check();
      Print();
      ForEach(&Tenant::Resume);
    }
  }
  Check();
  Print();
  FreeAllAndExpectEmpty();
}

// The canaries: losses that the oracle must see in this set-up.
TEST_F(Crash, PagesOfAnArenaThatWasRemovedAreReportedAsLost) {
  AddTenants(true);  // the first space may lose pages, the others may not
  ASSERT_TRUE(PollUntil([&] {
    return std::ranges::all_of(tenants_, [](const auto& t) { return t->issued() > 500; });
  }));
  Check();
  Kill();
  ASSERT_TRUE(std::filesystem::remove(service_.process().arena()));
  ASSERT_TRUE(service_.process().Start().ok());
  for (const auto& tenant : tenants_) {
    tenant->workload().LoadAll();
  }
  ForEach(&Tenant::Calm);
  for (const auto& tenant : tenants_) {
    EXPECT_GT(tenant->workload().counts().lost_pages, 0u);
    EXPECT_EQ(tenant->workload().counts().unknown, 0u);
  }
  // Lost, and never zeros or something else.
  EXPECT_TRUE(tenants_[0]->workload().wrong_pages().empty());
  EXPECT_EQ(tenants_[1]->workload().wrong_pages().size(), 1u);
  EXPECT_EQ(tenants_[2]->workload().wrong_pages().size(), 1u);
  // The next stores and frees make good what was lost.
  ForEach(&Tenant::Resume);
  const uint64_t issued = tenants_[0]->issued();
  ASSERT_TRUE(PollUntil([&] { return tenants_[0]->issued() > issued + 500; }));
  ForEach(&Tenant::Pause);
  ForEach(&Tenant::Calm);
  EXPECT_TRUE(tenants_[0]->workload().wrong_pages().empty());
  for (const auto& tenant : tenants_) {
    tenant->workload().FreeAll();
  }
  ForEach(&Tenant::Calm);
  service_.ExpectEmpty();
}

// A service that has forgotten the last stores and frees: a table log of yesterday.
TEST_F(Crash, PagesThatComeBackFromThePastAreFound) {
  AddTenants(false);
  ASSERT_TRUE(PollUntil([&] { return tenants_[0]->issued() > 500; }));
  ForEach(&Tenant::Pause);
  ForEach(&Tenant::Calm);
  Kill();
  const std::string copy = service_.data_dir() + "-yesterday";
  std::filesystem::copy(service_.data_dir(), copy, std::filesystem::copy_options::recursive);
  ASSERT_TRUE(service_.process().Start().ok());
  ForEach(&Tenant::Resume);
  const uint64_t issued = tenants_[0]->issued();
  ASSERT_TRUE(PollUntil([&] { return tenants_[0]->issued() > issued + 500; }));
  Check();
  Kill();
  std::filesystem::remove_all(service_.data_dir());
  std::filesystem::rename(copy, service_.data_dir());
  ASSERT_TRUE(service_.process().Start().ok());
  // Epochs of the past are not believed: another client, which has seen none.
  const std::unique_ptr<SwapClient> client = service_.Open("space-1", 0);
  tenants_[0]->space().Use(*client);
  tenants_[0]->workload().LoadAll();
  tenants_[0]->Calm();
  EXPECT_FALSE(tenants_[0]->workload().wrong_pages().empty());
}

}  // namespace
}  // namespace vswap
