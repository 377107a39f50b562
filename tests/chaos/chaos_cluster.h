#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/chaos/known_pages.h"
#include "tests/chaos/reactions.h"
#include "tests/model/client_space.h"
#include "tests/model/workload.h"
#include "tests/support/local_cluster.h"
#include "tests/support/seed.h"
#include "tests/support/service.h"

namespace vswap {

// VSWAP_TEST_MINUTES; 0: as short as it may be.
int MinutesAsked();

// Prints with what status a call has failed.
class TellingSpace : public EntriesUnderTest {
 public:
  explicit TellingSpace(EntriesUnderTest& space) : space_(space) {}
  void Store(std::vector<ContentAt> pages, StoreDone done) override;
  void Load(std::vector<Offset> offsets, LoadDone done) override;
  void Free(Extent extent, FreeDone done) override;
  void StoreWhole(std::vector<ContentAt> pages, StoreDone done) override;
  void LoadUnmixed(Extent folio, LoadDone done) override;
  void Backing(Extent extent, BackingDone done) override;
  void Allocate(uint32_t order, uint32_t count, AllocateDone done) override;
  void Duplicate(std::vector<Offset> offsets, CodesDone done) override;
  void FreeCounted(std::vector<Offset> offsets, CountDone done) override;

 private:
  EntriesUnderTest& space_;
};

// One space with its client, and a thread that keeps calls under way.
class Tenant {
 public:
  using MakeWorkload = std::function<std::unique_ptr<Workload>(EntriesUnderTest&)>;

  Tenant(std::unique_ptr<SwapClient> client, const MakeWorkload& make)
      : client_(std::move(client)),
        space_(*client_),
        telling_(space_),
        workload_(make(telling_)),
        thread_([this](const std::stop_token& stop) { Run(stop); }) {}

  Workload& workload() { return *workload_; }
  void Pause() { paused_ = true; }
  void Resume() { paused_ = false; }
  // Returns when nothing is under way; only while paused.
  void Calm() {
    EXPECT_TRUE(PollUntil([this] { return workload_->Idle(); })) << "it never ends";
  }

 private:
  void Run(const std::stop_token& stop);

  std::unique_ptr<SwapClient> client_;
  ClientSpace space_;
  TellingSpace telling_;
  std::unique_ptr<Workload> workload_;
  std::atomic<bool> paused_{false};
  std::jthread thread_;  // first to end; the client then cancels what is under way
};

// A cluster of real processes, and a few spaces under load.
class ChaosCluster : public testing::Test {
 protected:
  // Longer than the front-ends' lease, and than a node may be silent.
  static constexpr auto kAwayMax = std::chrono::milliseconds(6000);

  // `flags`: of deploy/cluster.sh.
  explicit ChaosCluster(const std::string& flags = "--compressors 2 --stores 3 --memory-max 8MiB");

  // Two device spaces and two allocated ones: one that is full at times, and one in two shards.
  void AddTenants(bool loss_allowed = false);
  void ForEach(void (Tenant::*method)());
  Workload::Counts Sum();

  // All spaces go on.
  void ExpectProgress();
  // No front-end has ended by itself.
  void ExpectFrontEndsAlive();
  // Faults are apart when redundancy was restored between them.
  void AwaitRedundancy();
  // Loads everything: there is nothing to complain of.
  void Check();
  // Frees everything, reference by reference; after a check.
  void FreeAll();
  // In a run of the suite the seed chooses one.
  template <typename T = std::string>
  std::vector<T> OneOrAll(std::vector<T> choices) {
    if (MinutesAsked() == 0) {
      choices = {choices[random_.Below(choices.size())]};
    }
    return choices;
  }

  static constexpr int kFrontEnds = 2;
  SeededRandom random_{TestSeed()};
  const bool networks_;  // whether each process has its own, so that it may be cut off
  LocalCluster cluster_;
  bool refusals_allowed_ = false;  // of stores, for lack of room
  ReactionCounter reactions_{cluster_, kFrontEnds};
  std::vector<std::unique_ptr<Tenant>> tenants_;
  std::vector<std::chrono::milliseconds> recoveries_;  // of redundancy
};

}  // namespace vswap
