#include "tests/chaos/chaos_cluster.h"

#include <cstdio>
#include <cstdlib>

#include "tests/chaos/complaints.h"
#include "tests/model/device_workload.h"
#include "tests/model/entry_workload.h"

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

const Status& StatusOf(const Status& status) { return status; }
template <typename T>
const Status& StatusOf(const StatusOr<T>& answer) {
  return answer.status();
}

// Tells of a failure before `done` does what it does.
template <typename Done>
auto Telling(const char* call, Offset offset, Done done) {
  return [call, offset, done = std::move(done)](auto answer) {
    Tell(call, offset, StatusOf(answer));
    done(std::move(answer));
  };
}

}  // namespace

int MinutesAsked() {
  const char* const given = std::getenv("VSWAP_TEST_MINUTES");
  return given == nullptr ? 0 : std::atoi(given);
}

void TellingSpace::Store(std::vector<ContentAt> pages, StoreDone done) {
  const Offset first = pages.front().offset;
  space_.Store(std::move(pages), Telling("a store", first, std::move(done)));
}

void TellingSpace::Load(std::vector<Offset> offsets, LoadDone done) {
  const Offset first = offsets.front();
  space_.Load(std::move(offsets), Telling("a load", first, std::move(done)));
}

void TellingSpace::Free(Extent extent, FreeDone done) {
  space_.Free(extent, Telling("a free", extent.offset, std::move(done)));
}

void TellingSpace::StoreWhole(std::vector<ContentAt> pages, StoreDone done) {
  const Offset first = pages.front().offset;
  space_.StoreWhole(std::move(pages), Telling("a folio's store", first, std::move(done)));
}

// Several backings are no failure.
void TellingSpace::LoadUnmixed(Extent folio, LoadDone done) {
  space_.LoadUnmixed(folio, std::move(done));
}

void TellingSpace::Backing(Extent extent, BackingDone done) {
  space_.Backing(extent, Telling("a query", extent.offset, std::move(done)));
}

// Nor is a space without room.
void TellingSpace::Allocate(uint32_t order, uint32_t count, AllocateDone done) {
  space_.Allocate(order, count, std::move(done));
}

void TellingSpace::Duplicate(std::vector<Offset> offsets, CodesDone done) {
  const Offset first = offsets.front();
  space_.Duplicate(std::move(offsets), Telling("a duplicate", first, std::move(done)));
}

void TellingSpace::FreeCounted(std::vector<Offset> offsets, CountDone done) {
  const Offset first = offsets.front();
  space_.FreeCounted(std::move(offsets), Telling("a free", first, std::move(done)));
}

void Tenant::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (paused_ || !workload_->IssueOne()) {
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
  const auto add = [this](SpaceKind kind, uint64_t pages, const auto& make) {
    const SpaceId id = tenants_.size() + 1;
    tenants_.push_back(std::make_unique<Tenant>(
        OpenSpace(cluster_.frontends(), "space-" + std::to_string(id), kind, pages),
        [&](EntriesUnderTest& space) { return make(space, id); }));
  };
  for (int i = 0; i < 2; ++i) {
    add(SpaceKind::kDevice, 1 << 20, [&](EntriesUnderTest& space, SpaceId id) {
      return std::make_unique<DeviceWorkload>(
          space, id,
          DeviceWorkload::Options{.seed = random_.Next64(),
                                  .regions = {0, 480, 40000, 90000},
                                  .region_slots = 200,
                                  .batch_pages_max = 16,
                                  .loss_allowed = loss_allowed});
    });
  }
  for (const uint64_t pages : {uint64_t{1000}, uint64_t{kStripePages + 600}}) {
    add(SpaceKind::kAllocated, pages, [&](EntriesUnderTest& space, SpaceId id) {
      return std::make_unique<EntryWorkload>(space, id,
                                             EntryWorkload::Options{.seed = random_.Next64(),
                                                                    .space_pages = pages,
                                                                    .references_max = 1200,
                                                                    .owners_change = true,
                                                                    .loss_allowed = loss_allowed});
    });
  }
}

void ChaosCluster::ForEach(void (Tenant::*method)()) {
  for (const auto& tenant : tenants_) {
    ((*tenant).*method)();
  }
}

Workload::Counts ChaosCluster::Sum() {
  Workload::Counts sum;
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
  size_t complaints = 0;
  for (const auto& tenant : tenants_) {
    for (const std::string& line : ComplaintsOf(tenant->workload(), refusals_allowed_)) {
      ADD_FAILURE() << line;
      ++complaints;
    }
  }
  std::printf("%zu complaints; %s\n", complaints, Sum().ToString().c_str());
}

void ChaosCluster::FreeAll() {
  for (bool more = true; more && !HasFailure();) {
    more = false;
    for (const auto& tenant : tenants_) {
      more = tenant->workload().FreeAll() || more;
    }
    ForEach(&Tenant::Calm);
  }
}

}  // namespace vswap
