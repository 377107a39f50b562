#include "tests/chaos/damage.h"

#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/chaos/chaos_cluster.h"
#include "tests/support/service.h"

// A cluster of real processes under load, one of which comes back with damaged copies, or with ones
// that are not believed.
namespace vswap {
namespace {

using Kind = KnownPages::Kind;

constexpr uint32_t kTogether = KnownPages::kTogether;

// Bits that changed while a process was dead. The other copy serves.
class Damage : public ChaosCluster {
 protected:
  // Of either kind in more than one cluster: of neighbours the same copy is asked first.
  static constexpr uint32_t kPages = 1000;

  void Start() {
    ASSERT_TRUE(cluster_.up());
    AddTenants();
    known_ = std::make_unique<KnownPages>(cluster_.frontends(), "known");
    for (Offset next = 0; next < kPages; next += kTogether) {
      EXPECT_EQ(known_->Store({next, kTogether}, Kind::kNoise), kTogether);
      EXPECT_EQ(known_->Store({kPages + next, kTogether}, Kind::kText), kTogether);
    }
    AwaitRedundancy();
  }
  // Kills a store, which takes the machine for started since.
  void MachineGoesDown(const std::string& store) {
    cluster_.Kill(store);
    const std::string path = cluster_.DataDir(store) + "/store/store.state";
    std::string state;
    {
      std::ifstream file(path);
      for (std::string line; std::getline(file, line);) {
        state += (line.starts_with("boot_id ") ? "boot_id another" : line) + "\n";
      }
    }
    std::ofstream(path) << state;
  }
  // That nodes have met some of it, and that nobody else has.
  void ExpectServed(int damaged) {
    EXPECT_GT(damaged, 0);
    ExpectProgress();
    AwaitRedundancy();  // a node that was silent is not asked first
    auto found = known_->LoadAll();
    EXPECT_EQ(found[Kind::kNoise].right, kPages);
    EXPECT_EQ(found[Kind::kText].right, kPages);
    Check();
    const auto status = nlohmann::json::parse(cluster_.Control("status --output json"));
    uint64_t met = 0;
    for (const auto& node : status["nodes"]) {
      met += node["corrupt_pages"].get<uint64_t>();
    }
    std::printf("%d records damaged, %llu found damaged\n", damaged,
                static_cast<unsigned long long>(met));
    EXPECT_GT(met, 0u);
  }

  // Of store/1. A start brings what its log of writes has into a file of its own.
  int DamageStoreFiles() {
    cluster_.Kill("store/1");
    cluster_.Restart("store/1");
    ExpectProgress();
    AwaitRedundancy();
    cluster_.Kill("store/1");
    const int damaged = DamageStore(cluster_.DataDir("store/1"), *known_, {0, kPages});
    cluster_.Restart("store/1");
    return damaged;
  }
  int DamageCompressorFile() {
    cluster_.Kill("compressor/1");
    const int damaged = DamageArena(cluster_.Arena("compressor/1"), random_);
    cluster_.Restart("compressor/1");
    return damaged;
  }
  // What the cluster tells of store/1.
  nlohmann::json Node() {
    for (const auto& each : nlohmann::json::parse(cluster_.Control("nodes --output json"))) {
      if (each["name"] == "store-1") {
        return each;
      }
    }
    return {};
  }
  // The pages and logs of store/1 are then the only ones.
  void ExpectKeptWithoutTheOtherStores() {
    ExpectProgress();
    AwaitRedundancy();
    for (const char* const store : {"store/2", "store/3"}) {
      cluster_.Destroy(store);
      cluster_.Restart(store);
      ExpectProgress();
      AwaitRedundancy();
    }
    EXPECT_GT(Node()["log_replicas"], 0);
    EXPECT_EQ(known_->LoadAll()[Kind::kNoise].right, kPages);
    Check();
  }
  // Nobody loads the damaged pages before their other copies go, one store after the other.
  void ExpectMendedBeforeRedundancyIsFull() {
    EXPECT_GT(DamageStoreFiles(), 0);
    ExpectKeptWithoutTheOtherStores();
  }
  void ExpectKeptWhereTheMachineGoesDown() {
    const uint64_t incarnation = Node()["incarnation"];
    MachineGoesDown("store/1");
    cluster_.Restart("store/1");
    ExpectKeptWithoutTheOtherStores();
    EXPECT_EQ(Node()["incarnation"], incarnation);
    EXPECT_NE(Node()["log_incarnation"], incarnation);
  }

  std::unique_ptr<KnownPages> known_;
};

// Of a machine that went down the log is not believed, and the pages are copies as before.
TEST_F(Damage, CostsNoPage) {
  Start();
  for (const std::string& of :
       OneOrAll({"a compressor", "a store", "a store, and the others go", "a store's machine"})) {
    std::printf("damage of %s\n", of.c_str());
    ForEach(&Tenant::Resume);
    if (of == "a compressor" || of == "a store") {
      ExpectServed(of == "a store" ? DamageStoreFiles() : DamageCompressorFile());
    } else {
      of == "a store's machine" ? ExpectKeptWhereTheMachineGoesDown()
                                : ExpectMendedBeforeRedundancyIsFull();
    }
  }
}

// All of them at once, so that no log is left; but the front-ends have the tables.
TEST_F(Damage, TheMachinesOfAllStoresMayGoDownWhileTheFrontEndsLive) {
  Start();
  const std::array<const char*, 3> stores = {"store/1", "store/2", "store/3"};
  for (const char* const store : stores) {
    MachineGoesDown(store);
  }
  for (const char* const store : stores) {
    cluster_.Restart(store);
  }
  ExpectProgress();
  AwaitRedundancy();
  uint64_t anew = 0;
  for (const char* const front_end : {"frontend/1", "frontend/2"}) {
    anew += MetricIn(cluster_.Metrics(front_end), "vswap_logs_begun_anew_total");
    cluster_.Kill(front_end);
    cluster_.Restart(front_end);
    ExpectProgress();
    AwaitRedundancy();
  }
  EXPECT_GT(anew, 0u);
  auto found = known_->LoadAll();
  EXPECT_EQ(found[Kind::kNoise].right, kPages);
  EXPECT_EQ(found[Kind::kText].right, kPages);
  Check();
}

}  // namespace
}  // namespace vswap
