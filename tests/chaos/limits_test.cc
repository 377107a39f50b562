#include <array>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "tests/chaos/chaos_cluster.h"
#include "tests/chaos/damage.h"
#include "tests/support/service.h"

// A cluster of real processes under load at its limits: full, with more faults at once than it has
// copies, with damaged copies.
namespace vswap {
namespace {

using Kind = KnownPages::Kind;

// What is stored in one call lies on one set: few, so that all sets have some.
constexpr uint32_t kTogether = 10;

class FullCluster : public ChaosCluster {
 protected:
  FullCluster()
      : ChaosCluster("--compressors 2 --stores 3 --memory-max 8MiB --capacity-pages 3000") {
    refusals_allowed_ = true;
  }

  // From `first` on, until a batch is refused as a whole; where it ended.
  static Offset Fill(KnownPages& filler, Offset first, Kind kind) {
    constexpr uint32_t kBatch = 256;
    constexpr Offset kEnough = 100000;  // more than there is room for
    Offset next = first;
    while (filler.Store({next, kBatch}, kind) > 0 && next < first + kEnough) {
      next += kBatch;
    }
    EXPECT_LT(next, first + kEnough) << "it never gets full";
    return next;
  }
  // That for a while no page of the spaces is refused any more.
  bool NoneRefused() {
    const uint64_t refused = Sum().refused_pages;
    ExpectProgress();
    return Sum().refused_pages == refused;
  }
};

// One space takes all the room, and a process dies meanwhile. Pages are refused then, which is no
// error; all is as before once there is room.
TEST_F(FullCluster, GoesOnAndIsAsBeforeOnceThereIsRoom) {
  ASSERT_TRUE(cluster_.up());
  AddTenants();
  AwaitRedundancy();
  KnownPages filler(cluster_.frontends(), "filler");
  const Offset texts = Fill(filler, 0, Kind::kNoise);
  const Offset end = Fill(filler, texts, Kind::kText);
  std::printf("full: with %llu pages that do not shrink and %llu that do\n",
              static_cast<unsigned long long>(texts), static_cast<unsigned long long>(end - texts));
  ExpectProgress();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const std::string process = std::array{"frontend/1", "compressor/1", "store/1"}[random_.Below(3)];
  std::printf("kill -9 %s\n", process.c_str());
  cluster_.Kill(process);
  ExpectProgress();
  cluster_.Restart(process);
  ExpectProgress();
  ExpectFrontEndsAlive();
  auto found = filler.LoadAll();
  for (const Kind kind : {Kind::kNoise, Kind::kText}) {
    EXPECT_EQ(found[kind].wrong + found[kind].lost, 0u);
    EXPECT_GT(found[kind].right, 0u);
  }
  std::printf("full with %llu pages that do not shrink and %llu that do\n",
              static_cast<unsigned long long>(found[Kind::kNoise].right),
              static_cast<unsigned long long>(found[Kind::kText].right));
  EXPECT_GT(Sum().refused_pages, 0u);

  filler.FreeAll();
  EXPECT_TRUE(PollUntil([this] { return NoneRefused(); }));
  AwaitRedundancy();
  constexpr uint32_t kSome = 256;
  EXPECT_EQ(filler.Store({0, kSome}, Kind::kNoise), kSome);
  EXPECT_EQ(filler.Store({kSome, kSome}, Kind::kText), kSome);
  Check();
}

class TooManyFaults : public ChaosCluster {
 protected:
  TooManyFaults() : ChaosCluster("--compressors 3 --stores 3 --memory-max 8MiB") {}
};

// Both copies of some pages: these are told as lost, until something is stored there.
TEST_F(TooManyFaults, LosePagesAndSaySo) {
  ASSERT_TRUE(cluster_.up());
  AddTenants(/*loss_allowed=*/true);
  constexpr Offset kPages = 300;
  KnownPages known(cluster_.frontends(), "known");
  const auto store_all = [&] {
    for (Offset next = 0; next < kPages; next += kTogether) {
      EXPECT_EQ(known.Store({next, kTogether}, Kind::kText), kTogether);
      EXPECT_EQ(known.Store({kPages + next, kTogether}, Kind::kNoise), kTogether);
      EXPECT_EQ(known.Store({2 * kPages + next, kTogether}, Kind::kZeros), kTogether);
    }
  };
  store_all();
  AwaitRedundancy();
  for (const std::string process : {"compressor/1", "compressor/2"}) {
    std::printf("destroy %s\n", process.c_str());
    cluster_.Destroy(process);
  }
  for (const std::string process : {"compressor/1", "compressor/2"}) {
    cluster_.Restart(process);
  }
  ExpectProgress();

  auto found = known.LoadAll();
  std::printf("of the known pages in the compressors %llu are told as lost\n",
              static_cast<unsigned long long>(found[Kind::kText].lost));
  EXPECT_GT(found[Kind::kText].lost, 0u);
  EXPECT_GT(found[Kind::kText].right, 0u);
  for (const Kind kind : {Kind::kText, Kind::kNoise, Kind::kZeros}) {
    EXPECT_EQ(found[kind].wrong, 0u);
    EXPECT_TRUE(kind == Kind::kText || found[kind].lost == 0);
  }

  store_all();
  found = known.LoadAll();
  for (const Kind kind : {Kind::kText, Kind::kNoise, Kind::kZeros}) {
    EXPECT_EQ(found[kind].right, kPages);
  }
  AwaitRedundancy();
  Check();
  // What was lost of the spaces goes with what is freed, and does not come back.
  for (const auto& tenant : tenants_) {
    tenant->workload().FreeAll();
  }
  ForEach(&Tenant::Calm);
  const uint64_t lost = Sum().lost_pages;
  ForEach(&Tenant::Resume);
  ExpectProgress();
  Check();
  EXPECT_EQ(Sum().lost_pages, lost);
}

// All that is known of the pages: an operator has to say so, then the hosts are told, and go on.
TEST_F(TooManyFaults, AShardWithoutALogIsGivenUp) {
  ASSERT_TRUE(cluster_.up());
  constexpr Offset kPages = 4000;
  constexpr size_t kShards = 16;
  KnownPages known(cluster_.frontends(), "known");
  const auto store_all = [&] {
    for (Offset next = 0; next < kPages; next += kTogether) {
      EXPECT_EQ(known.Store({next, kTogether}, Kind::kText), kTogether);
    }
  };
  store_all();
  AwaitRedundancy();
  const std::vector<std::string> all = {"frontend/1", "frontend/2", "store/1", "store/2",
                                        "store/3"};
  for (const std::string& process : all) {
    std::printf("%s %s\n", process.starts_with("store") ? "destroy" : "kill -9", process.c_str());
    process.starts_with("store") ? cluster_.Destroy(process) : cluster_.Kill(process);
  }
  for (auto process = all.rbegin(); process != all.rend(); ++process) {
    cluster_.Restart(*process);
  }
  const auto count = [](const std::string& lines, const std::string& word) {
    size_t found = 0;
    for (size_t at = lines.find(word); at != std::string::npos; at = lines.find(word, at + 1)) {
      ++found;
    }
    return found;
  };
  EXPECT_TRUE(PollUntil([&] { return cluster_.Answers("frontend/1"); }));
  EXPECT_TRUE(
      PollUntil([&] { return count(cluster_.Control("shards"), "(gone)") == 2 * kShards; }));
  const std::string told = cluster_.Control("give-up --all --yes");
  EXPECT_EQ(count(told, "begins anew"), kShards) << told;
  auto found = known.LoadAll();
  EXPECT_EQ(found[Kind::kText].lost, kPages);
  EXPECT_EQ(found[Kind::kText].wrong, 0u);
  store_all();
  found = known.LoadAll();
  EXPECT_EQ(found[Kind::kText].right, kPages);
  AwaitRedundancy();
  // What the compressors still had of the old pages goes, but for the slots that were stored to
  // when their records were looked at.
  uint64_t pages = 0;
  EXPECT_TRUE(PollUntil([&] {
    pages = 0;
    for (const auto& node : nlohmann::json::parse(cluster_.Control("nodes --output json"))) {
      pages += node["pages"].is_null() ? 0 : node["pages"].get<uint64_t>();
    }
    return pages < 2 * kPages + kPages / 2;
  })) << pages;
  Check();
}

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

  std::unique_ptr<KnownPages> known_;
};

TEST_F(Damage, OfACompressorsFileCostsNoPage) {
  Start();
  cluster_.Kill("compressor/1");
  const int damaged = DamageArena(cluster_.Arena("compressor/1"), random_);
  cluster_.Restart("compressor/1");
  ExpectServed(damaged);
}

// A store's machine that went down: the log is not believed, the pages are copies as before.
TEST_F(Damage, AStoreKeepsItsPagesWhereItsMachineWentDown) {
  Start();
  const auto node = [this] {
    for (const auto& each : nlohmann::json::parse(cluster_.Control("nodes --output json"))) {
      if (each["name"] == "store-1") {
        return each;
      }
    }
    return nlohmann::json();
  };
  const uint64_t incarnation = node()["incarnation"];
  EXPECT_EQ(node()["log_incarnation"], incarnation);
  MachineGoesDown("store/1");
  cluster_.Restart("store/1");
  ExpectProgress();
  AwaitRedundancy();
  EXPECT_EQ(node()["incarnation"], incarnation);
  EXPECT_NE(node()["log_incarnation"], incarnation);
  for (const char* const store : {"store/2", "store/3"}) {
    cluster_.Destroy(store);
    cluster_.Restart(store);
    ExpectProgress();
    AwaitRedundancy();
    EXPECT_GT(node()["log_replicas"], 0);
  }
  EXPECT_EQ(known_->LoadAll()[Kind::kNoise].right, kPages);
  Check();
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

// A start brings what the write-ahead log has into a file of its own.
class DamagedStore : public Damage {
 protected:
  int DamageStoreFiles() {
    Start();
    cluster_.Kill("store/1");
    cluster_.Restart("store/1");
    ExpectProgress();
    AwaitRedundancy();
    cluster_.Kill("store/1");
    const int damaged = DamageStore(cluster_.DataDir("store/1"), *known_, {0, kPages});
    cluster_.Restart("store/1");
    return damaged;
  }
};

TEST_F(DamagedStore, CostsNoPage) { ExpectServed(DamageStoreFiles()); }

// Nobody loads the damaged pages before their other copies go, one store after the other.
TEST_F(DamagedStore, IsMendedBeforeRedundancyIsFull) {
  EXPECT_GT(DamageStoreFiles(), 0);
  AwaitRedundancy();
  for (const char* const store : {"store/2", "store/3"}) {
    cluster_.Destroy(store);
    cluster_.Restart(store);
    ExpectProgress();
    AwaitRedundancy();
  }
  EXPECT_EQ(known_->LoadAll()[Kind::kNoise].right, kPages);
  Check();
}

}  // namespace
}  // namespace vswap
