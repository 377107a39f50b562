#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "tests/chaos/chaos_cluster.h"

// A cluster of real processes under load at its limits: full, and with more faults at once than it
// has copies.
namespace vswap {
namespace {

using Kind = KnownPages::Kind;

constexpr uint32_t kTogether = KnownPages::kTogether;

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

  // Processes of these roles; of three of a kind two.
  std::vector<std::string> ChooseTwo(const std::string& roles) {
    const uint64_t first = random_.Below(3);
    const uint64_t second = (first + 1 + random_.Below(2)) % 3;
    return {(roles == "two stores" ? "store/" : "compressor/") + std::to_string(first + 1),
            (roles == "two compressors" ? "compressor/" : "store/") + std::to_string(second + 1)};
  }
};

// Both copies of some pages: these are told as lost, until something is stored there. A compressor
// and a store have no page's both copies.
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
  for (const std::string& roles :
       OneOrAll({"two compressors", "two stores", "a compressor and a store"})) {
    ForEach(&Tenant::Resume);
    store_all();
    AwaitRedundancy();
    // Where a compressor was slow to answer.
    const uint64_t texts_on_disk = known.CountOnDisk({0, kPages});
    const uint64_t lost_before = Sum().lost_pages;
    const std::vector<std::string> victims = ChooseTwo(roles);
    for (const std::string& process : victims) {
      std::printf("destroy %s\n", process.c_str());
      cluster_.Destroy(process);
    }
    for (const std::string& process : victims) {
      cluster_.Restart(process);
    }
    ExpectProgress();

    auto found = known.LoadAll();
    std::printf("of the known pages %llu in compressors and %llu in stores are told as lost\n",
                static_cast<unsigned long long>(found[Kind::kText].lost),
                static_cast<unsigned long long>(found[Kind::kNoise].lost));
    for (const Kind kind : {Kind::kText, Kind::kNoise, Kind::kZeros}) {
      EXPECT_EQ(found[kind].wrong, 0u);
      EXPECT_GT(found[kind].right, 0u);
    }
    EXPECT_EQ(found[Kind::kText].lost > texts_on_disk, roles == "two compressors");
    EXPECT_EQ(found[Kind::kNoise].lost > 0, roles == "two stores");
    EXPECT_EQ(found[Kind::kZeros].lost, 0u);

    store_all();
    found = known.LoadAll();
    for (const Kind kind : {Kind::kText, Kind::kNoise, Kind::kZeros}) {
      EXPECT_EQ(found[kind].right, kPages);
    }
    AwaitRedundancy();
    Check();
    EXPECT_EQ(Sum().lost_pages > lost_before, roles != "a compressor and a store");
    // What was lost of the spaces goes with what is freed, and does not come back.
    FreeAll();
    const uint64_t lost = Sum().lost_pages;
    ForEach(&Tenant::Resume);
    ExpectProgress();
    Check();
    EXPECT_EQ(Sum().lost_pages, lost);
  }
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

}  // namespace
}  // namespace vswap
