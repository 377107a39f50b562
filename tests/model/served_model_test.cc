#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "tests/model/client_space.h"
#include "tests/model/workload.h"
#include "tests/support/seed.h"
#include "tests/support/service.h"

// The model against the real thing: a vswapd process, called over gRPC by libvswap.
namespace vswap {
namespace {

constexpr uint64_t kOperations = 100000;
constexpr uint64_t kSpaces = 3;
constexpr uint64_t kSpacePages = 1 << 20;
constexpr uint64_t kMiB = 1 << 20;

// What a process may keep for itself when no page is left: RocksDB's write buffers and block cache,
// gRPC's buffers, and holes in the heap that are too few to give back.
constexpr uint64_t kKeptBytesMax = 64 * kMiB;

// 8192 slots of a space, over cluster, stripe and shard boundaries: more than both tiers hold.
std::vector<Offset> Regions() {
  std::vector<Offset> regions;
  for (Offset i = 0; i < 32; ++i) {
    regions.push_back(i * 9000 + 400);
  }
  return regions;
}

struct Tenant {
  std::unique_ptr<SwapClient> client;
  std::unique_ptr<ClientSpace> space;
  std::unique_ptr<Workload> workload;
};

class ServedModel : public testing::Test {
 protected:
  ServedModel() : random_(TestSeed()) {
    for (uint64_t i = 0; i < kSpaces; ++i) {
      Tenant tenant;
      tenant.client = service_.Open("space-" + std::to_string(i), kSpacePages);
      tenant.space = std::make_unique<ClientSpace>(*tenant.client);
      tenant.workload = std::make_unique<Workload>(
          *tenant.space, i + 1,
          Workload::Options{.seed = random_.Next64(), .regions = Regions(), .region_slots = 256});
      tenants_.push_back(std::move(tenant));
    }
  }

  // So many more random operations, by one thread a space.
  void Work(uint64_t operations) {
    std::vector<std::jthread> threads;
    for (const Tenant& tenant : tenants_) {
      threads.emplace_back([&tenant, operations] {
        for (uint64_t i = 0; i < operations / kSpaces; ++i) {
          while (!tenant.workload->IssueOne()) {
            std::this_thread::sleep_for(std::chrono::microseconds(100));
          }
        }
      });
    }
  }
  void Calm() {
    EXPECT_TRUE(PollUntil([&] {
      return std::ranges::all_of(tenants_, [](const Tenant& t) { return t.workload->Idle(); });
    })) << "something never ends";
  }
  void LoadAll() {
    for (const Tenant& tenant : tenants_) {
      tenant.workload->LoadAll();
    }
    Calm();
  }
  void FreeAll() {
    for (const Tenant& tenant : tenants_) {
      tenant.workload->FreeAll();
    }
    Calm();
  }
  // The clients ride through it. What the tiers have room for is moved.
  void StopAndStart() {
    ASSERT_EQ(service_.process().Terminate(), 0);
    for (const Tenant& tenant : tenants_) {
      tenant.space->NoteDeath();
    }
    ASSERT_TRUE(service_.process().Start().ok());
  }
  void ExpectRight() {
    for (const Tenant& tenant : tenants_) {
      for (const std::string& line : tenant.workload->wrong_pages()) {
        ADD_FAILURE() << line;
      }
      const Workload::Counts counts = tenant.workload->counts();
      EXPECT_EQ(counts.unknown, 0u);
      EXPECT_EQ(counts.unavailable_pages, 0u);
    }
  }
  Workload::Counts Sum() {
    Workload::Counts sum;
    for (const Tenant& tenant : tenants_) {
      const Workload::Counts counts = tenant.workload->counts();
      sum.issued += counts.issued;
      sum.stored_pages += counts.stored_pages;
      sum.refused_pages += counts.refused_pages;
      sum.loaded_pages += counts.loaded_pages;
    }
    return sum;
  }

  SeededRandom random_;
  Service service_{{"--memory-max", "4MiB", "--capacity-pages", "2500", "--shards", "5",
                    "--block-cache", "1MiB"}};
  std::vector<Tenant> tenants_;
};

TEST_F(ServedModel, RandomOperationsAgreeWithAMap) {
  const uint64_t resident = service_.ResidentBytes();
  uint64_t used_compressed = 0;
  uint64_t used_physical = 0;
  constexpr uint64_t kParts = 4;
  for (uint64_t part = 0; part < kParts && !HasFailure(); ++part) {
    std::jthread work([this] { Work(kOperations / kParts); });
    if (part > 0) {
      StopAndStart();
    }
    work.join();
    Calm();
    const auto status = service_.process().GetStatus();
    ASSERT_TRUE(status.ok()) << status.status();
    for (const v1::SpaceStatus& space : status->spaces()) {
      used_compressed += space.compressed_pages();
      used_physical += space.physical_pages();
    }
    ExpectRight();
  }
  LoadAll();
  ExpectRight();
  const Workload::Counts sum = Sum();
  std::printf("%llu operations, %llu pages stored, %llu refused, %llu loaded and checked\n",
              static_cast<unsigned long long>(sum.issued),
              static_cast<unsigned long long>(sum.stored_pages),
              static_cast<unsigned long long>(sum.refused_pages),
              static_cast<unsigned long long>(sum.loaded_pages));
  EXPECT_GE(sum.issued, kOperations - kSpaces * kParts);
  EXPECT_GT(sum.refused_pages, 0u);
  EXPECT_GT(used_compressed, 0u);
  EXPECT_GT(used_physical, 0u);
  FreeAll();
  LoadAll();
  ExpectRight();
  service_.ExpectEmpty();
  EXPECT_TRUE(PollUntil([&] { return service_.ResidentBytes() <= resident + kKeptBytesMax; }))
      << service_.ResidentBytes();
}

class ServedMemory : public testing::Test {
 protected:
  static constexpr uint64_t kPages = 40960;     // 100 MiB in the arena
  static constexpr uint64_t kClusters = 16384;  // 100 MiB of table: one slot in each
  static constexpr Offset kSparse = kSpacePagesMax / 2;

  void Fill() {
    constexpr uint64_t kBatch = 256;
    PageBytes bytes;
    for (uint64_t i = 0; i < kBatch; ++i) {
      const PageBytes page = NoisyPage(i, 2048);
      bytes.insert(bytes.end(), page.begin(), page.end());
    }
    for (Offset first = 0; first < kPages; first += kBatch) {
      ASSERT_TRUE(client_->Store(first, bytes).AllOk());
    }
    for (Offset first = 0; first < kClusters; first += kBatch) {
      std::vector<PageRange> ranges;
      for (uint64_t i = 0; i < kBatch; ++i) {
        ranges.push_back({kSparse + (first + i) * kClusterSlots, 1});
      }
      ASSERT_TRUE(client_->Store(ranges, bytes).AllOk());
    }
  }
  void FreeAll() {
    ASSERT_TRUE(client_->Free(0, kPages).ok());
    ASSERT_TRUE(client_->Free(kSparse, kClusters * kClusterSlots).ok());
  }

  Service service_{{"--memory-max", "160MiB", "--block-cache", "1MiB"}};
  std::unique_ptr<SwapClient> client_ = service_.Open("space", kSpacePagesMax);
};

TEST_F(ServedMemory, IsGivenBackWhenEverythingIsFreed) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "a sanitizer's heap";
#endif
  const uint64_t before = service_.ResidentBytes();
  for (int round = 0; round < 2 && !HasFailure(); ++round) {
    Fill();
    const uint64_t full = service_.ResidentBytes();
    EXPECT_GT(full, before + 180 * kMiB);
    EXPECT_GT(service_.ArenaBytes(), 100 * kMiB);
    FreeAll();
    service_.ExpectEmpty();
    EXPECT_TRUE(PollUntil([&] { return service_.ResidentBytes() <= before + kKeptBytesMax; }));
    std::printf("round %d: %llu MiB resident before, %llu full, %llu after\n", round,
                static_cast<unsigned long long>(before / kMiB),
                static_cast<unsigned long long>(full / kMiB),
                static_cast<unsigned long long>(service_.ResidentBytes() / kMiB));
  }
}

}  // namespace
}  // namespace vswap
