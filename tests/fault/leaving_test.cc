#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "tests/chaos/known_pages.h"
#include "tests/support/local_cluster.h"
#include "tests/support/service.h"

// A store leaves a cluster of real processes, as an operator asks for it with vswapctl.
namespace vswap {
namespace {

using std::chrono::milliseconds;
using Json = nlohmann::json;
using Kind = KnownPages::Kind;

class Leaving : public testing::Test {
 protected:
  explicit Leaving(const std::string& flags = "--compressors 2 --capacity-pages 65536")
      : cluster_("--stores 3 --shards 8 " + flags) {}

  // Of `command --output json`, the object in which `key` is `value`; null: there is none.
  Json Find(const std::string& command, const char* key, const std::string& value) const {
    for (const Json& each : Json::parse(cluster_.Control(command + " --output json"))) {
      if (each[key] == value) {
        return each;
      }
    }
    return Json();
  }
  Json Node(const std::string& name) const { return Find("nodes", "name", name); }
  // Once it tells that.
  uint64_t PagesOn(const std::string& name) const {
    Json pages;
    EXPECT_TRUE(PollUntil([&] {
      const Json node = Node(name);
      pages = node.is_null() ? Json() : node["pages"];
      return !pages.is_null();
    }));
    return pages.is_null() ? 0 : pages.get<uint64_t>();
  }
  Json Drain(const std::string& node = "store-1") const {
    return Find("jobs", "job", "drain " + node);
  }
  uint64_t PagesLeft() const { return Drain()["pages_left"]; }
  int Try(const std::string& command, std::string* output) const {
    int status = 0;
    *output = cluster_.Control(command, &status);
    return status;
  }
  void ExpectAllRight(KnownPages& pages, uint64_t count) {
    uint64_t right = 0;
    for (const auto& [kind, found] : pages.LoadAll()) {
      right += found.right;
      EXPECT_EQ(found.lost + found.wrong, 0u);
    }
    EXPECT_EQ(right, count);
  }

  LocalCluster cluster_;
};

TEST_F(Leaving, ADrainPausesResumesIsCancelledAndComesToItsEnd) {
  ASSERT_TRUE(cluster_.up());
  KnownPages pages(cluster_.frontends(), "a");
  ASSERT_EQ(pages.Store({0, 6000}, Kind::kNoise), 6000u);
  const uint64_t held = PagesOn("store-1");
  ASSERT_GT(held, 2000u);
  cluster_.Control("drain store-1 --pages-per-second 300");
  EXPECT_TRUE(PollUntil([&] { return PagesLeft() < held - 200; })) << Drain();
  EXPECT_EQ(Node("store-1")["state"], "draining");

  cluster_.Control("drain store-1 --pause");
  std::this_thread::sleep_for(milliseconds(3000));  // the batches that were under way
  const uint64_t paused_at = PagesLeft();
  ASSERT_GT(paused_at, 1000u);
  std::this_thread::sleep_for(milliseconds(3000));
  EXPECT_EQ(PagesLeft(), paused_at);
  EXPECT_EQ(Drain()["state"], "paused");
  EXPECT_EQ(Node("store-1")["state"], "drain paused");
  std::string output;
  EXPECT_EQ(Try("drain store-1 --pause --wait", &output), 1) << output;

  cluster_.Control("drain store-1 --resume");
  EXPECT_TRUE(PollUntil([&] { return PagesLeft() < paused_at - 200; })) << Drain();

  cluster_.Control("drain store-1 --cancel");
  EXPECT_TRUE(Drain().is_null());
  EXPECT_EQ(Node("store-1")["state"], "serving");
  std::this_thread::sleep_for(milliseconds(3000));
  const uint64_t cancelled_at = PagesOn("store-1");
  ASSERT_GT(cancelled_at, 500u);
  uint64_t stored = 6000;
  EXPECT_TRUE(PollUntil([&] {  // in use; which set takes a batch is a matter of chance
    stored += pages.Store({stored, 100}, Kind::kNoise);
    return PagesOn("store-1") > cancelled_at;
  }));
  EXPECT_EQ(Try("drain store-1 --pause", &output), 1);
  EXPECT_NE(output.find("store-1 does not drain"), std::string::npos) << output;

  output = cluster_.Control("drain store-1 --wait");
  EXPECT_NE(output.find("done, 0 of "), std::string::npos) << output;
  EXPECT_EQ(PagesOn("store-1"), 0u);
  EXPECT_EQ(Node("store-1")["log_replicas"], 0);
  ExpectAllRight(pages, stored);
}

TEST_F(Leaving, ANodeIsForgottenOnceNothingIsOnItAndWelcomeWhenItComesBack) {
  ASSERT_TRUE(cluster_.up());
  KnownPages pages(cluster_.frontends(), "a");
  ASSERT_EQ(pages.Store({0, 2000}, Kind::kNoise), 2000u);
  std::string output;
  EXPECT_EQ(Try("forget store-1", &output), 1);
  EXPECT_NE(output.find("store-1 has replicas of the table logs"), std::string::npos) << output;
  cluster_.Control("drain store-1 --wait");
  EXPECT_EQ(Try("forget store-1", &output), 1);
  EXPECT_NE(output.find("store-1 answers"), std::string::npos) << output;

  cluster_.Destroy("store/1");
  EXPECT_TRUE(PollUntil([&] { return Try("forget store-1", &output) == 0; })) << output;
  EXPECT_TRUE(Node("store-1").is_null());
  EXPECT_EQ(Json::parse(cluster_.Control("jobs --output json")), Json::array());
  EXPECT_TRUE(PollUntil([&] { return Try("check", &output) == 0; })) << output;
  EXPECT_TRUE(PollUntil([&] { return cluster_.FullyRedundant(); })) << cluster_.Status();
  ExpectAllRight(pages, 2000);

  // Empty, under the same name: nothing of the drain is left.
  cluster_.Restart("store/1");
  EXPECT_TRUE(PollUntil([&] {
    const Json node = Node("store-1");
    return !node.is_null() && node["state"] == "serving";
  })) << Node("store-1");
  EXPECT_TRUE(PollUntil([&] {
    pages.Store({2000, 100}, Kind::kNoise);
    return PagesOn("store-1") > 0;
  }));
  ExpectAllRight(pages, 2100);
}

class LeavingFullStores : public Leaving {
 protected:
  LeavingFullStores() : Leaving("--compressors 2 --capacity-pages 1500") {}
};

TEST_F(LeavingFullStores, ADrainWithoutRoomElsewhereSaysSoAndKeepsEverything) {
  ASSERT_TRUE(cluster_.up());
  KnownPages pages(cluster_.frontends(), "a");
  // One batch after the other: those that fill a set at once may refuse each other's last pages.
  uint64_t stored = 0;
  for (Offset next = 0; next < 4000; next += 100) {
    stored += pages.Store({next, 100}, Kind::kNoise);
  }
  ASSERT_GT(stored, 2000u);
  ASSERT_LT(stored, 4000u);
  cluster_.Control("drain store-1");
  EXPECT_TRUE(PollUntil([&] { return Drain()["state"] == "waiting"; })) << Drain();
  EXPECT_EQ(Drain()["waits_for"], "room: the other nodes are full");
  std::this_thread::sleep_for(milliseconds(3000));
  EXPECT_GT(PagesLeft(), 1000u);
  ExpectAllRight(pages, stored);
  cluster_.Control("drain store-1 --cancel");
  ExpectAllRight(pages, stored);
}

class LeavingOneByOne : public Leaving {
 protected:
  static constexpr uint64_t kStripes = 16;  // of all shards
  static constexpr uint64_t kStripeText = 400;
  static constexpr uint64_t kStripeNoise = 200;
  static constexpr uint64_t kSlots = kStripes * (kStripeText + kStripeNoise);
  static constexpr uint64_t kStride = 7919;  // prime

  LeavingOneByOne() : Leaving("--compressors 3") {}

  static uint64_t Fill(KnownPages& pages) {
    uint64_t stored = 0;
    for (uint64_t stripe = 0; stripe < kStripes; ++stripe) {
      const Offset begin = stripe * kStripePages;
      stored += pages.Store({begin, kStripeText}, Kind::kText);
      stored += pages.Store({begin + kStripeText, kStripeNoise}, Kind::kNoise);
    }
    return stored;
  }
  // One page at a time, all over the space: so some are being moved just then.
  void Overwrite(KnownPages& pages, const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const uint64_t slot = next_++ * kStride % kSlots;
      const uint64_t page = slot / kStripes;
      pages.Store({slot % kStripes * kStripePages + page, 1},
                  page < kStripeText ? Kind::kText : Kind::kNoise);
    }
  }
  // Until the node's drain is done: `changed` is overwritten, and `kept` loaded again and again.
  void LoadUntilDone(KnownPages& kept, KnownPages& changed, const std::string& node) {
    uint64_t rounds = 0;
    {
      const std::jthread thread([&](const std::stop_token& stop) { Overwrite(changed, stop); });
      EXPECT_TRUE(PollUntil([&] {
        ExpectAllRight(kept, kSlots);
        ++rounds;
        return HasFailure() || Drain(node)["state"] == "done";
      })) << Drain(node);
    }
    EXPECT_GT(rounds, 3u) << "the drain was not under load";
    ExpectAllRight(changed, kSlots);
    EXPECT_EQ(PagesOn(node), 0u);
  }

  uint64_t next_ = 0;
};

// A compressor under load; then a store, while the front-end dies that moves half of it.
TEST_F(LeavingOneByOne, NodesAreEmptiedUnderLoadAlsoWhenAFrontEndDies) {
  ASSERT_TRUE(cluster_.up());
  KnownPages kept(cluster_.frontends(), "a");
  KnownPages changed(cluster_.frontends(), "b");
  ASSERT_EQ(Fill(kept) + Fill(changed), 2 * kSlots);
  ASSERT_GT(PagesOn("compressor-1"), 4000u);
  cluster_.Control("drain compressor-1 --pages-per-second 2000");
  LoadUntilDone(kept, changed, "compressor-1");
  cluster_.Destroy("compressor/1");
  ExpectAllRight(kept, kSlots);
  ExpectAllRight(changed, kSlots);

  const uint64_t held = PagesOn("store-1");
  ASSERT_GT(held, 2000u);
  cluster_.Control("drain store-1 --pages-per-second 500");
  EXPECT_TRUE(PollUntil([&] { return PagesLeft() < held; })) << Drain();
  cluster_.Kill("frontend/2");
  // Far from done, also where the other one has moved nothing yet.
  EXPECT_GT(PagesLeft(), held * 3 / 4);
  EXPECT_EQ(Drain()["state"], "running");
  LoadUntilDone(kept, changed, "store-1");
  EXPECT_EQ(Node("store-1")["log_replicas"], 0);
  cluster_.Destroy("store/1");
  ExpectAllRight(kept, kSlots);
  ExpectAllRight(changed, kSlots);
}

}  // namespace
}  // namespace vswap
