#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "tests/model/client_space.h"
#include "tests/model/device_workload.h"
#include "tests/support/local_cluster.h"
#include "tests/support/seed.h"
#include "tests/support/service.h"

// A cluster of real processes under load, one fault at a time by a seeded schedule: no page is
// wrong, none is lost, and no caller hears of it within its patience.
namespace vswap {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kSpacePages = 1 << 20;
constexpr int kFrontEnds = 2;
constexpr int kCompressors = 2;
constexpr int kStores = 3;
// Longer than the front-ends' lease.
constexpr auto kStopMax = milliseconds(6000);

// One space with its client, and a thread that keeps calls under way.
class Tenant {
 public:
  Tenant(const std::string& frontends, SpaceId id, const DeviceWorkload::Options& options)
      : client_(Open(frontends, id)),
        space_(*client_),
        workload_(space_, id, options),
        thread_([this](const std::stop_token& stop) { Run(stop); }) {}

  DeviceWorkload& workload() { return workload_; }
  void Pause() { paused_ = true; }
  void Resume() { paused_ = false; }
  uint64_t issued() { return workload_.counts().issued; }
  // Returns when nothing is under way; only while paused.
  void Calm() {
    EXPECT_TRUE(PollUntil([this] { return workload_.Idle(); })) << "it never ends";
  }

 private:
  static std::unique_ptr<SwapClient> Open(const std::string& frontends, SpaceId id) {
    ClientOptions options;
    options.frontend = frontends;
    options.space = "space-" + std::to_string(id);
    options.holder = "chaos";
    options.create_pages = kSpacePages;
    StatusOr<std::unique_ptr<SwapClient>> client = SwapClient::Open(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return client.ok() ? *std::move(client) : nullptr;
  }
  void Run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      if (paused_ || !workload_.IssueOne()) {
        std::this_thread::sleep_for(milliseconds(1));
      }
    }
  }

  std::unique_ptr<SwapClient> client_;
  ClientSpace space_;
  DeviceWorkload workload_;
  std::atomic<bool> paused_{false};
  std::jthread thread_;  // first to end; the client then cancels what is under way
};

class Chaos : public testing::Test {
 protected:
  void AddTenants() {
    for (SpaceId id = 1; id <= 3; ++id) {
      tenants_.push_back(
          std::make_unique<Tenant>(cluster_.frontends(), id,
                                   DeviceWorkload::Options{.seed = random_.Next64(),
                                                           .regions = {0, 480, 40000, 90000},
                                                           .region_slots = 200,
                                                           .batch_pages_max = 16}));
    }
  }
  void ForEach(void (Tenant::*method)()) {
    for (const auto& tenant : tenants_) {
      ((*tenant).*method)();
    }
  }
  std::string PickProcess() {
    const uint64_t dice = random_.Below(10);
    const auto number = [&](uint64_t count) { return std::to_string(1 + random_.Below(count)); };
    if (dice < 4) {
      return "frontend/" + number(kFrontEnds);
    }
    if (dice < 7) {
      return "compressor/" + number(kCompressors);
    }
    return dice < 9 ? "store/" + number(kStores) : "etcd/1";
  }

  // One fault and its end; all spaces have gone on at last.
  void Round() {
    const std::string process = PickProcess();
    const bool stop = random_.Below(3) == 0;
    const milliseconds away(random_.Below(stop ? kStopMax.count() : 1500));
    std::printf("%s %s for %lld ms\n", stop ? "stop" : "kill -9", process.c_str(),
                static_cast<long long>(away.count()));
    const auto begun = std::chrono::steady_clock::now();
    if (stop) {
      cluster_.Stop(process);
      std::this_thread::sleep_for(away);
      cluster_.Continue(process);
    } else {
      cluster_.Kill(process);
      std::this_thread::sleep_for(away);
      cluster_.Restart(process);
    }
    ExpectProgress();
    const auto took = std::chrono::steady_clock::now() - begun;
    std::printf("  all spaces go on after %lld ms\n",
                static_cast<long long>(std::chrono::duration_cast<milliseconds>(took).count()));
    ExpectAlive();
    std::this_thread::sleep_for(milliseconds(random_.Below(1000)));
  }
  void ExpectProgress() {
    std::vector<uint64_t> issued;
    for (const auto& tenant : tenants_) {
      issued.push_back(tenant->issued());
    }
    for (size_t i = 0; i < tenants_.size(); ++i) {
      EXPECT_TRUE(PollUntil([&] { return tenants_[i]->issued() > issued[i] + 50; }))
          << "space " << i + 1 << " does not go on";
    }
  }
  // Faults are apart when redundancy was restored between them.
  void AwaitRedundancy() {
    const auto begun = std::chrono::steady_clock::now();
    // What the front-ends tell is of their last look.
    std::this_thread::sleep_for(milliseconds(2000));
    const auto end = begun + std::chrono::seconds(90);
    while (!cluster_.FullyRedundant()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "redundancy does not come back";
      std::this_thread::sleep_for(milliseconds(200));
    }
    const auto took = std::chrono::steady_clock::now() - begun;
    std::printf("  full redundancy after %lld ms\n",
                static_cast<long long>(std::chrono::duration_cast<milliseconds>(took).count()));
  }
  // Whether the node holds no page.
  bool IsEmpty(const std::string& name) {
    const std::string status = cluster_.Control("status");
    const size_t line = status.find("\n" + name + " ");
    const size_t tier = status.find("physical ", line);
    EXPECT_NE(line, std::string::npos) << status;
    return tier != std::string::npos && std::atoi(status.c_str() + tier + 9) == 0;
  }
  // A front-end that lost its lease, or its shards, goes on.
  void ExpectAlive() {
    for (int n = 1; n <= kFrontEnds; ++n) {
      EXPECT_TRUE(cluster_.Alive("frontend/" + std::to_string(n)));
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
      const DeviceWorkload::Counts counts = tenant->workload().counts();
      EXPECT_EQ(counts.unknown, 0u) << "requests that failed";
      EXPECT_EQ(counts.unavailable_pages, 0u);
      std::printf("%llu operations, %llu pages stored, %llu refused, %llu loaded and checked\n",
                  static_cast<unsigned long long>(counts.issued),
                  static_cast<unsigned long long>(counts.stored_pages),
                  static_cast<unsigned long long>(counts.refused_pages),
                  static_cast<unsigned long long>(counts.loaded_pages));
    }
  }

  SeededRandom random_{TestSeed()};
  LocalCluster cluster_{"--frontends 2 --compressors 2 --stores 3 --memory-max 8MiB --shards 16"};
  std::vector<std::unique_ptr<Tenant>> tenants_;
};

// For VSWAP_TEST_MINUTES, or a dozen rounds.
TEST_F(Chaos, OneFaultAtATimeCostsNoPage) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  const char* const given = std::getenv("VSWAP_TEST_MINUTES");
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::minutes(given != nullptr ? std::atoi(given) : 0);
  constexpr int kRounds = 12;
  for (int round = 0; (round < kRounds || std::chrono::steady_clock::now() < end) && !HasFailure();
       ++round) {
    Round();
    AwaitRedundancy();
  }
  Check();
}

// A machine with all that it kept; another one takes its place after a while.
TEST_F(Chaos, ALostMachineCostsNoPage) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  AwaitRedundancy();
  for (const std::string process :
       {"compressor/1", "store/1", "store/2", "compressor/2", "store/3", "compressor/1"}) {
    ExpectProgress();
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

// Longer than the lease: stores and loads go on, and nobody is taken for dead for good.
TEST_F(Chaos, EtcdMayBeAwayForLongerThanTheLease) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  ExpectProgress();
  cluster_.Stop("etcd/1");
  for (int second = 0; second < 7; ++second) {
    std::this_thread::sleep_for(milliseconds(1000));
    ExpectProgress();
  }
  cluster_.Continue("etcd/1");
  std::this_thread::sleep_for(milliseconds(5000));
  ExpectProgress();
  ExpectAlive();
  Check();
}

// Each in turn is stopped for longer than its lease, loses its shards, and comes back.
TEST_F(Chaos, AFrontEndMayLoseItsLease) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  for (const std::string process : {"frontend/1", "frontend/2"}) {
    cluster_.Stop(process);
    std::this_thread::sleep_for(kStopMax);
    ExpectProgress();
    cluster_.Continue(process);
    ExpectProgress();
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
