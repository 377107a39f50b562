#include <gtest/gtest.h>

#include <thread>

#include "services/common/thread_pool.h"
#include "tests/model/device_workload.h"
#include "tests/support/nbd_plugin.h"
#include "tests/support/seed.h"
#include "tests/support/service.h"

// The model's device part through the plugin of nbdkit and a vswapd process that comes and goes.
namespace vswap {
namespace {

constexpr uint64_t kSpacePages = 1 << 20;
constexpr int kThreads = 12;  // as many requests of nbdkit at once

// A device as nbdkit's threads call it: runs of neighbours, one request each. A request that fails
// may have been done in part.
class PluginSpace : public SpaceUnderTest {
 public:
  explicit PluginSpace(NbdPlugin& plugin) : plugin_(plugin), threads_(kThreads) {}

  void Store(std::vector<ContentAt> pages, StoreDone done) override {
    threads_.Post([this, pages = std::move(pages), done = std::move(done)] {
      std::vector<PageCode> codes;
      for (size_t begin = 0; begin < pages.size(); begin = codes.size()) {
        PageBytes run;
        size_t end = begin;
        for (; end < pages.size() && pages[end].offset == pages[begin].offset + end - begin;
             ++end) {
          run.insert(run.end(), pages[end].bytes.begin(), pages[end].bytes.end());
        }
        const bool stored = plugin_.Write(run, pages[begin].offset * kPageBytes);
        codes.resize(end, stored ? PageCode::kOk : PageCode::kUnset);
      }
      done(std::move(codes));
    });
  }
  void Load(std::vector<Offset> offsets, LoadDone done) override {
    threads_.Post([this, offsets = std::move(offsets), done = std::move(done)] {
      std::vector<LoadedPage> pages;
      for (size_t begin = 0; begin < offsets.size(); begin = pages.size()) {
        size_t end = begin;
        while (end < offsets.size() && offsets[end] == offsets[begin] + end - begin) {
          ++end;
        }
        PageBytes run((end - begin) * kPageBytes);
        const bool loaded = plugin_.Read(run, offsets[begin] * kPageBytes);
        for (size_t i = begin; i < end; ++i) {
          const auto page = run.begin() + static_cast<ptrdiff_t>((i - begin) * kPageBytes);
          pages.push_back(
              {loaded ? PageCode::kOk : PageCode::kDataLoss, PageBytes(page, page + kPageBytes)});
        }
      }
      done(std::move(pages));
    });
  }
  void Free(Extent extent, FreeDone done) override {
    threads_.Post([this, extent, done = std::move(done)] {
      done(plugin_.Trim(extent.pages * kPageBytes, extent.offset * kPageBytes)
               ? Status()
               : MakeError(StatusCode::kUnknown, "the trim failed"));
    });
  }

 private:
  NbdPlugin& plugin_;
  ThreadPool threads_;
};

class PluginModel : public testing::Test {
 protected:
  void Work(uint64_t operations) {
    for (uint64_t i = 0; i < operations && !HasFailure();) {
      if (workload_.IssueOne()) {
        ++i;
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    }
  }
  void Calm() {
    EXPECT_TRUE(PollUntil([this] { return workload_.Idle(); })) << "it never ends";
  }
  void ExpectRight() {
    Calm();
    for (const std::string& line : workload_.wrong_pages()) {
      ADD_FAILURE() << line;
    }
    EXPECT_EQ(workload_.counts().unknown, 0u) << "trims that failed";
  }

  // Both tiers are full at times, and the service is killed or stopped after each part.
  void ModelAgrees(uint64_t operations) {
    ASSERT_TRUE(plugin_.ok()) << NbdPlugin::Error();
    constexpr uint64_t kParts = 5;
    for (uint64_t part = 0; part < kParts && !HasFailure(); ++part) {
      std::jthread work([this, operations] { Work(operations / kParts); });
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      if (part % 2 == 1) {
        EXPECT_EQ(service_.process().Terminate(), 0);
        EXPECT_TRUE(service_.process().Start().ok());
      } else {
        service_.Restart();
      }
    }
    ExpectRight();
    workload_.LoadAll();
    ExpectRight();
    const Workload::Counts counts = workload_.counts();
    std::printf("%s\n", counts.ToString().c_str());
    EXPECT_GT(counts.refused_pages, 0u);
    workload_.FreeAll();
    ExpectRight();
    workload_.LoadAll();
    ExpectRight();
    service_.ExpectEmpty();
  }

  static std::vector<Offset> Regions() {
    std::vector<Offset> regions;
    for (Offset i = 0; i < 32; ++i) {
      regions.push_back(i * 9000 + 400);
    }
    return regions;
  }

  Service service_{{"--memory-max", "4MiB", "--capacity-pages", "1500", "--shards", "5",
                    "--block-cache", "1MiB"}};
  NbdPlugin plugin_{{{"frontend", service_.process().listen()},
                     {"size", std::to_string(kSpacePages* kPageBytes)}}};
  PluginSpace space_{plugin_};
  DeviceWorkload workload_{
      space_, 1,
      DeviceWorkload::Options{
          .seed = TestSeed(), .regions = Regions(), .region_slots = 256, .batch_pages_max = 32}};
};

TEST_F(PluginModel, RandomOperationsAgreeWithAMap) { ModelAgrees(20000); }
TEST_F(PluginModel, LongRandomOperationsAgreeWithAMap) { ModelAgrees(1000000); }

}  // namespace
}  // namespace vswap
