#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "tests/model/client_space.h"
#include "tests/model/device_workload.h"
#include "tests/model/entry_workload.h"
#include "tests/support/seed.h"
#include "tests/support/service.h"

// The model against the real thing: a vswapd process, called over gRPC by libvswap.
namespace vswap {
namespace {

constexpr uint64_t kDeviceSpaces = 3;
constexpr uint64_t kSpaces = 5;
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
    for (uint64_t i = 0; i < kDeviceSpaces; ++i) {
      Tenant& tenant = Open("space-" + std::to_string(i), kSpacePages, SpaceKind::kDevice);
      tenant.workload = std::make_unique<DeviceWorkload>(
          *tenant.space, tenants_.size(),
          DeviceWorkload::Options{
              .seed = random_.Next64(), .regions = Regions(), .region_slots = 256});
    }
    // One that is full at times; and one in several shards.
    OpenAllocated("entries-0", 2000, 3000);
    OpenAllocated("entries-1", 3 * kStripePages + 600, 1500);
  }

  Tenant& Open(const std::string& name, uint64_t pages, SpaceKind kind) {
    ClientOptions options = service_.OptionsFor(name, pages);
    options.kind = kind;
    StatusOr<std::unique_ptr<SwapClient>> client = SwapClient::Open(options);
    EXPECT_TRUE(client.ok()) << client.status();
    Tenant tenant;
    tenant.client = *std::move(client);
    tenant.space = std::make_unique<ClientSpace>(*tenant.client);
    tenants_.push_back(std::move(tenant));
    return tenants_.back();
  }
  void OpenAllocated(const std::string& name, uint64_t pages, uint64_t references_max) {
    Tenant& tenant = Open(name, pages, SpaceKind::kAllocated);
    tenant.workload = std::make_unique<EntryWorkload>(
        *tenant.space, tenants_.size(),
        EntryWorkload::Options{
            .seed = random_.Next64(), .space_pages = pages, .references_max = references_max});
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
    for (bool more = true; more && !HasFailure();) {
      more = false;
      for (const Tenant& tenant : tenants_) {
        more = tenant.workload->FreeAll() || more;
      }
      Calm();
    }
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
      sum += tenant.workload->counts();
    }
    return sum;
  }
  void ModelAgrees(uint64_t operations);

  SeededRandom random_;
  Service service_{{"--memory-max", "4MiB", "--capacity-pages", "2500", "--shards", "5",
                    "--block-cache", "1MiB"}};
  std::vector<Tenant> tenants_;
};

void ServedModel::ModelAgrees(uint64_t operations) {
  const uint64_t resident = service_.ResidentBytes();
  uint64_t used_compressed = 0;
  uint64_t used_physical = 0;
  constexpr uint64_t kParts = 4;
  for (uint64_t part = 0; part < kParts && !HasFailure(); ++part) {
    std::jthread work([this, operations] { Work(operations / kParts); });
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
  std::printf("%s\n", sum.ToString().c_str());
  EXPECT_GE(sum.issued, operations - kSpaces * kParts);
  EXPECT_GT(sum.refused_pages, 0u);
  EXPECT_GT(sum.whole_folios, 0u);
  EXPECT_GT(sum.mixed_folios, 0u);
  EXPECT_GT(used_compressed, 0u);
  EXPECT_GT(used_physical, 0u);
  FreeAll();
  LoadAll();
  ExpectRight();
  service_.ExpectEmpty();
  EXPECT_TRUE(PollUntil([&] { return service_.ResidentBytes() <= resident + kKeptBytesMax; }))
      << service_.ResidentBytes();
}

TEST_F(ServedModel, RandomOperationsAgreeWithAMap) { ModelAgrees(100000); }
TEST_F(ServedModel, LongRandomOperationsAgreeWithAMap) { ModelAgrees(1000000); }

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
