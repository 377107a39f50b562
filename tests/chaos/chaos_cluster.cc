#include "tests/chaos/chaos_cluster.h"

#include <cstdio>
#include <cstdlib>

namespace vswap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// In a namespace of its own, which goes with the command.
bool NetworksAllowed() {
  return std::system(
             "unshare --net sh -c 'ip link add vswap type bridge &&"
             " ip link add left type veth peer name right' > /dev/null 2>&1") == 0;
}

milliseconds Since(steady_clock::time_point begin) {
  return std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin);
}

void Tell(const char* call, Offset offset, const Status& status) {
  if (!status.ok()) {
    std::printf("  %s from slot %llu on failed: %s\n", call,
                static_cast<unsigned long long>(offset), status.ToString().c_str());
  }
}

}  // namespace

void TellingSpace::Store(std::vector<ContentAt> pages, StoreDone done) {
  const Offset first = pages.front().offset;
  space_.Store(std::move(pages), [first, done](StatusOr<std::vector<PageCode>> codes) {
    Tell("a store", first, codes.status());
    done(std::move(codes));
  });
}

void TellingSpace::Load(std::vector<Offset> offsets, LoadDone done) {
  const Offset first = offsets.front();
  space_.Load(std::move(offsets), [first, done](StatusOr<std::vector<LoadedPage>> pages) {
    Tell("a load", first, pages.status());
    done(std::move(pages));
  });
}

void TellingSpace::Free(Extent extent, FreeDone done) {
  space_.Free(extent, [extent, done](const Status& status) {
    Tell("a free", extent.offset, status);
    done(status);
  });
}

void Tenant::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (paused_ || !workload_.IssueOne()) {
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
}

ChaosCluster::ChaosCluster(const std::string& flags)
    : networks_(NetworksAllowed()),
      cluster_("--shards 16 --frontends " + std::to_string(kFrontEnds) + " " + flags +
               (networks_ ? " --netns" : "")) {
  if (!networks_) {
    std::printf("no network namespaces may be made here: nothing is cut off\n");
  }
}

void ChaosCluster::AddTenants(bool loss_allowed) {
  for (SpaceId id = 1; id <= 3; ++id) {
    tenants_.push_back(
        std::make_unique<Tenant>(cluster_.frontends(), id,
                                 DeviceWorkload::Options{.seed = random_.Next64(),
                                                         .regions = {0, 480, 40000, 90000},
                                                         .region_slots = 200,
                                                         .batch_pages_max = 16,
                                                         .loss_allowed = loss_allowed}));
  }
}

void ChaosCluster::ForEach(void (Tenant::*method)()) {
  for (const auto& tenant : tenants_) {
    ((*tenant).*method)();
  }
}

DeviceWorkload::Counts ChaosCluster::Sum() {
  DeviceWorkload::Counts sum;
  for (const auto& tenant : tenants_) {
    sum += tenant->workload().counts();
  }
  return sum;
}

void ChaosCluster::ExpectProgress() {
  const auto begun = steady_clock::now();
  std::vector<uint64_t> issued;
  for (const auto& tenant : tenants_) {
    issued.push_back(tenant->workload().counts().issued);
  }
  for (size_t i = 0; i < tenants_.size(); ++i) {
    EXPECT_TRUE(PollUntil([&] { return tenants_[i]->workload().counts().issued > issued[i] + 50; }))
        << "space " << i + 1 << " does not go on";
  }
  std::printf("  all spaces have gone on after %lld ms\n",
              static_cast<long long>(Since(begun).count()));
}

void ChaosCluster::ExpectFrontEndsAlive() {
  for (int n = 1; n <= kFrontEnds; ++n) {
    EXPECT_TRUE(cluster_.Alive("frontend/" + std::to_string(n)));
  }
}

void ChaosCluster::AwaitRedundancy() {
  const auto begun = steady_clock::now();
  // What the front-ends tell is of their last look.
  std::this_thread::sleep_for(milliseconds(2000));
  while (!cluster_.FullyRedundant()) {
    ASSERT_LT(Since(begun), std::chrono::seconds(90)) << cluster_.Status();
    std::this_thread::sleep_for(milliseconds(200));
  }
  recoveries_.push_back(Since(begun));
  std::printf("  full redundancy after %lld ms\n",
              static_cast<long long>(recoveries_.back().count()));
}

void ChaosCluster::Check() {
  ForEach(&Tenant::Pause);
  ForEach(&Tenant::Calm);
  for (const auto& tenant : tenants_) {
    tenant->workload().LoadAll();
  }
  ForEach(&Tenant::Calm);
  size_t wrong = 0;
  for (const auto& tenant : tenants_) {
    for (const std::string& line : tenant->workload().wrong_pages()) {
      ADD_FAILURE() << line;
      ++wrong;
    }
  }
  const DeviceWorkload::Counts sum = Sum();
  EXPECT_EQ(sum.unknown, 0u) << "requests that failed";
  EXPECT_EQ(sum.unavailable_pages, 0u);
  const uint64_t failed = sum.unknown + sum.unavailable_pages;
  std::printf(
      "%zu wrong, %llu lost, %llu failed; %llu operations, %llu pages stored, %llu refused, %llu "
      "loaded and checked\n",
      wrong, static_cast<unsigned long long>(sum.lost_pages),
      static_cast<unsigned long long>(failed), static_cast<unsigned long long>(sum.issued),
      static_cast<unsigned long long>(sum.stored_pages),
      static_cast<unsigned long long>(sum.refused_pages),
      static_cast<unsigned long long>(sum.loaded_pages));
}

}  // namespace vswap
