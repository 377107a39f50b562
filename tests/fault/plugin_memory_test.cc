#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "services/common/ids.h"
#include "services/common/page.h"
#include "tests/support/allocation_counter.h"
#include "tests/support/nbd_plugin.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vswapd_process.h"
#include "vswap/v1/frontend.pb.h"

// That the plugin, once it runs, asks for no memory to move a page: the host has none when it
// swaps. Its own functions, a real vswapd, every allocation counted.
namespace vswap {
namespace {

constexpr size_t kThreads = 8;
constexpr size_t kShareBytes = size_t{16} << 20;  // of the device, a thread

// Small and large requests, as the kernel makes them: of each round 13 pages one by one and 100 in
// four requests, stored, loaded and freed.
constexpr size_t kSingles = 13;
constexpr size_t kRuns = 4;
constexpr size_t kRunPages = 25;
constexpr size_t kRoundPages = kSingles + kRuns * kRunPages;

// Text that compresses, another one on each page.
void FillPages(std::span<std::byte> bytes, uint64_t seed) {
  for (size_t at = 0; at < bytes.size(); at += 16) {
    const uint64_t word = Mix64(seed + at / 64);
    std::memcpy(bytes.data() + at, &word, sizeof(word));
    std::memcpy(bytes.data() + at + 8, "vswapped", 8);
  }
}

class PluginMemory : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TempDir;
    vswapd_ = new VswapdProcess(VSWAPD, directory_->path() + "/data", {"--memory-max", "256MiB"});
    ASSERT_TRUE(vswapd_->Start().ok());
    plugin_ = new NbdPlugin(
        {{"frontend", vswapd_->listen()}, {"size", std::to_string(kThreads * kShareBytes)}});
    ASSERT_TRUE(plugin_->ok()) << NbdPlugin::Error();
  }
  static void TearDownTestSuite() {
    delete plugin_;
    delete vswapd_;
    delete directory_;
  }

  // One thread's round; false if anything fails or differs.
  static bool Round(size_t thread, std::span<const std::byte> content, std::span<std::byte> back) {
    size_t at = 0;
    const auto each = [&](const auto& request) {
      bool good = true;
      at = 0;
      for (size_t i = 0; i < kSingles + kRuns; ++i) {
        const size_t bytes = (i < kSingles ? 1 : kRunPages) * kPageBytes;
        good = request(at, bytes) && good;
        at += bytes;
      }
      return good;
    };
    const size_t base = thread * kShareBytes;
    const bool stored = each([&](size_t from, size_t bytes) {
      return plugin_->Write(content.subspan(from, bytes), base + from);
    });
    const bool loaded = each([&](size_t from, size_t bytes) {
      return plugin_->Read(back.subspan(from, bytes), base + from);
    });
    const bool same = std::memcmp(content.data(), back.data(), content.size()) == 0;
    const bool freed =
        each([&](size_t from, size_t bytes) { return plugin_->Trim(bytes, base + from); });
    return stored && loaded && same && freed;
  }

  // So many rounds on all threads; what was allocated after each thread's first ones.
  static Allocations Run(
      size_t rounds, const std::function<void()>& within = [] {}) {
    constexpr size_t kWarmUp = 40;
    std::atomic<size_t> warm{0};
    std::atomic<size_t> ended{0};
    std::atomic<bool> counting{false};
    std::atomic<bool> stopped{false};
    std::atomic<bool> good{true};
    Allocations allocations;
    {
      std::vector<std::jthread> threads;
      for (size_t thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&, thread] {
          std::vector<std::byte> content(kRoundPages * kPageBytes);
          std::vector<std::byte> back(content.size());
          FillPages(content, thread + 1);
          for (size_t i = 0; i < kWarmUp; ++i) {
            good = Round(thread, content, back) && good;
          }
          ++warm;
          counting.wait(false);
          for (size_t i = 0; i < rounds; ++i) {
            good = Round(thread, content, back) && good;
            within();
          }
          ++ended;
          ended.notify_one();
          stopped.wait(false);
        });
      }
      while (warm < kThreads) {
        std::this_thread::yield();
      }
      StartCounting();
      counting = true;
      counting.notify_all();
      for (size_t n = ended; n < kThreads; n = ended) {
        ended.wait(n);
      }
      allocations = StopCounting();
      stopped = true;
      stopped.notify_all();
    }
    EXPECT_TRUE(good) << NbdPlugin::Error();
    return allocations;
  }

  static TempDir* directory_;
  static VswapdProcess* vswapd_;
  static NbdPlugin* plugin_;
};

TempDir* PluginMemory::directory_ = nullptr;
VswapdProcess* PluginMemory::vswapd_ = nullptr;
NbdPlugin* PluginMemory::plugin_ = nullptr;

TEST_F(PluginMemory, NothingOfOursIsAllocatedForAPage) {
  constexpr size_t kRounds = 111;
  static_assert(kRounds * kRoundPages * kThreads >= 100000);
  const Allocations allocations = Run(kRounds);
  EXPECT_EQ(allocations.ours, 0u) << allocations.first_of_ours;
  EXPECT_GT(allocations.theirs, 0u);  // else nothing was counted at all
  const double requests = static_cast<double>(3 * kRounds * kThreads * (kSingles + kRuns));
  std::printf("gRPC: %.1f allocations a request\n",
              static_cast<double>(allocations.theirs) / requests);
}

// The test of the test: what somebody could add is seen.
TEST_F(PluginMemory, AStringARequestWouldBeSeen) {
  const Allocations allocations = Run(2, [] {
    std::string text("longer than what a string holds within itself");
    text += text;  // by libstdc++'s code
    EXPECT_GT(text.size(), 50u);
  });
  EXPECT_GE(allocations.ours, 2 * 2 * kThreads);
}

TEST_F(PluginMemory, AMessageOfProtobufWouldBeSeen) {
  const Allocations allocations = Run(2, [] {
    v1::LoadRequest request;
    request.add_extents()->set_pages(1);  // by protobuf's code
    EXPECT_EQ(request.extents_size(), 1);
  });
  EXPECT_GE(allocations.ours, 2 * kThreads);
}

}  // namespace
}  // namespace vswap
