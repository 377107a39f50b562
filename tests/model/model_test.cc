#include <gtest/gtest.h>

#include "tests/model/direct_space.h"
#include "tests/model/workload.h"
#include "tests/support/faulty_network.h"
#include "tests/support/memory_coordinator.h"
#include "tests/support/memory_node.h"
#include "tests/support/memory_table_log.h"
#include "tests/support/seed.h"

namespace vswap {
namespace {

// Fewer where each is slow, as under a sanitizer.
uint64_t Operations() {
  const char* given = std::getenv("VSWAP_TEST_OPERATIONS");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 100000;
}

// Swaps pages of an answer, or gives an old page again, once it is told to: a system that is wrong.
class LyingSpace : public SpaceUnderTest {
 public:
  enum class Lie { kNone, kSwap, kOldPage };

  explicit LyingSpace(SpaceUnderTest& space) : space_(space) {}
  void Store(std::vector<ContentAt> pages, StoreDone done) override {
    space_.Store(std::move(pages), std::move(done));
  }
  void Free(Extent extent, FreeDone done) override { space_.Free(extent, std::move(done)); }
  void Load(std::vector<Offset> offsets, LoadDone done) override {
    space_.Load(offsets, [this, offsets, done](StatusOr<std::vector<LoadedPage>> pages) {
      for (size_t i = 0; pages.ok() && i < offsets.size(); ++i) {
        LoadedPage& page = pages->at(i);
        if (page.code == PageCode::kOk && page.bytes != ZeroPage()) {
          Bend(offsets[i], page);
        }
      }
      done(std::move(pages));
    });
  }

  Lie lie = Lie::kNone;
  int lies_told = 0;

 private:
  void Bend(Offset offset, LoadedPage& page) {
    const auto [seen, first_time] = seen_.try_emplace(offset, page.bytes);
    if (lie == Lie::kSwap && !last_.empty() && last_ != page.bytes) {
      page.bytes = last_;
    } else if (lie == Lie::kOldPage && !first_time && seen->second != page.bytes) {
      page.bytes = seen->second;
    } else {
      last_ = page.bytes;
      return;
    }
    ++lies_told;
    lie = Lie::kNone;
  }

  SpaceUnderTest& space_;
  std::map<Offset, PageBytes> seen_;
  PageBytes last_;
};

// A front-end on a bad network, some spaces and their workloads, all driven by one thread and one
// seed.
class World {
 public:
  static constexpr int kSpaces = 3;

  explicit World(uint64_t seed)
      : random_(seed), network_(random_.Next64()), pages_each_(random_.Below(2) == 0 ? 1000 : 120) {
    compressed_ = std::make_unique<MemoryNode>(MemoryNode::Options{
        .mode = MemoryNode::Mode::kCompressed, .capacity_pages = pages_each_, .overlap_pages = 8});
    physical_ = std::make_unique<MemoryNode>(
        MemoryNode::Options{.capacity_pages = pages_each_, .overlap_pages = 8, .incarnation = 2});
    far_compressed_ = std::make_unique<FarNode>(network_, *compressed_);
    far_physical_ = std::make_unique<FarNode>(network_, *physical_);
    StartFrontEnd();
    for (int i = 0; i < kSpaces; ++i) {
      AddSpace("space-" + std::to_string(i));
    }
  }
  ~World() { Kill(); }

  // One operation somewhere, and some of what is under way.
  void Step() {
    const uint64_t dice = random_.Below(4000);
    if (dice == 0) {
      Restart();
    } else if (dice < 8) {
      network_.SetFaults(random_.Below(2) * random_.Below(200), random_.Below(600));
    } else if (dice < 12) {
      const bool down = random_.Below(2) == 0;
      front_end_->MoveAll(down ? Tier::kCompressed : Tier::kPhysical,
                          down ? Tier::kPhysical : Tier::kCompressed, [](uint64_t) {});
    }
    workloads_[random_.Below(kSpaces)]->IssueOne();
    Run(random_.Below(12));
  }
  // kill -9 and start: all that is under way is cut off, what is on the network may still arrive.
  void Restart() {
    Kill();
    ++restarts_;
    StartFrontEnd();
    for (const auto& space : spaces_) {
      space->Reconnect(*front_end_);
    }
  }
  // Without faults, until nothing is under way.
  void Calm() {
    network_.SetFaults(0, 0);
    for (int i = 0; i < 2000 && !Quiet(); ++i) {
      Run(1000000);
      Advance(std::chrono::milliseconds(100));
    }
    EXPECT_TRUE(Quiet()) << "something never ends";
  }
  void LoadAll() {
    for (const auto& workload : workloads_) {
      workload->LoadAll();
    }
    Calm();
  }
  void FreeAll() {
    for (const auto& workload : workloads_) {
      workload->FreeAll();
    }
    Calm();
  }
  void ExpectEmpty() {
    EXPECT_EQ(compressed_->Names().size(), 0u);
    EXPECT_EQ(physical_->Names().size(), 0u);
    EXPECT_TRUE(front_end_->Counts().empty());
    for (const auto& shard : front_end_->shards()) {
      shard->Inspect([](const EntryTable& table) { EXPECT_EQ(table.cluster_count(), 0u); });
      log_.Read(shard->id(), "", 100,
                [](const StatusOr<LogReadReply>& reply) { EXPECT_EQ(reply->slots.size(), 0u); });
    }
  }
  std::vector<std::string> WrongPages() {
    std::vector<std::string> all;
    for (const auto& workload : workloads_) {
      const std::vector<std::string> wrong = workload->wrong_pages();
      all.insert(all.end(), wrong.begin(), wrong.end());
    }
    return all;
  }
  void Print() {
    Workload::Counts sum;
    uint64_t checked = 0;
    for (const auto& workload : workloads_) {
      const Workload::Counts counts = workload->counts();
      sum.issued += counts.issued;
      sum.stored_pages += counts.stored_pages;
      sum.refused_pages += counts.refused_pages;
      sum.unknown += counts.unknown;
      sum.unavailable_pages += counts.unavailable_pages;
      checked += workload->pages_checked();
    }
    std::printf(
        "%llu operations, %llu pages stored, %llu refused, %llu loaded and checked, "
        "%llu unavailable, %llu requests of unknown outcome, %d restarts\n",
        static_cast<unsigned long long>(sum.issued),
        static_cast<unsigned long long>(sum.stored_pages),
        static_cast<unsigned long long>(sum.refused_pages),
        static_cast<unsigned long long>(checked),
        static_cast<unsigned long long>(sum.unavailable_pages),
        static_cast<unsigned long long>(sum.unknown), restarts_);
  }
  uint64_t issued() {
    uint64_t sum = 0;
    for (const auto& workload : workloads_) {
      sum += workload->counts().issued;
    }
    return sum;
  }
  LyingSpace& liar(int i) { return *liars_[static_cast<size_t>(i)]; }
  MemoryNode& compressed() { return *compressed_; }

 private:
  void AddSpace(const std::string& name) {
    OpenReply opened;
    front_end_->Open({.name = name, .holder = "model", .create_pages = 1 << 20},
                     [&](const StatusOr<OpenReply>& reply) {
                       ASSERT_TRUE(reply.ok()) << reply.status();
                       opened = *reply;
                     });
    Run(1000000);
    spaces_.push_back(
        std::make_unique<DirectSpace>(*front_end_, opened, client_executor_, random_.Next64()));
    liars_.push_back(std::make_unique<LyingSpace>(*spaces_.back()));
    // Over cluster and shard boundaries.
    workloads_.push_back(std::make_unique<Workload>(
        *liars_.back(), opened.space,
        Workload::Options{.seed = random_.Next64(), .regions = {0, 480, 40000, 700000}}));
  }
  void StartFrontEnd() {
    bool started = false;
    while (!started) {
      bool answered = false;
      Placement placement;
      placement.AddNode({1, Tier::kCompressed, "c", 1, far_compressed_.get()});
      placement.AddNode({2, Tier::kPhysical, "p", 2, far_physical_.get()});
      placement.AddSet(1, Tier::kCompressed, {1});
      placement.AddSet(2, Tier::kPhysical, {2});
      front_end_ = std::make_unique<FrontEnd>(FrontEnd::Options{.shard_count = 3}, coordinator_,
                                              std::vector<TableLog*>{&far_log_},
                                              std::move(placement), executor_);
      front_end_->Start([&](const Status& status) {
        answered = true;
        started = status.ok();
      });
      while (!answered) {
        Run(1000);
        Advance(std::chrono::milliseconds(1));
      }
      if (!started) {
        Kill();
      }
    }
  }
  void Kill() {
    for (const auto& space : spaces_) {
      space->Disconnect();
    }
    network_.Disconnect();
    executor_.DropTasks();
    front_end_.reset();
    executor_.DropTasks();
  }
  // So many tasks of any executor; time goes on where there is nothing else to do.
  void Run(uint64_t tasks) {
    ManualExecutor* const executors[] = {&executor_, &network_.executor, &client_executor_};
    for (uint64_t i = 0; i < tasks; ++i) {
      const uint64_t first = random_.Below(3);
      if (!executors[first]->RunOne() && !executors[(first + 1) % 3]->RunOne() &&
          !executors[(first + 2) % 3]->RunOne()) {
        Advance(std::chrono::microseconds(500));
        return;
      }
    }
  }
  void Advance(Duration by) {
    executor_.Advance(by);
    network_.executor.Advance(by);
    client_executor_.Advance(by);
  }
  bool Quiet() {
    return front_end_->Idle() && front_end_->reconciled() &&
           std::ranges::all_of(workloads_, [](const auto& workload) { return workload->Idle(); });
  }

  SeededRandom random_;
  FaultyNetwork network_;
  const uint64_t pages_each_;
  ManualExecutor executor_;         // the front-end's: dies with it
  ManualExecutor client_executor_;  // the hosts'
  MemoryCoordinator coordinator_;
  MemoryTableLog log_;
  FarTableLog far_log_{network_, log_};
  std::unique_ptr<MemoryNode> compressed_;
  std::unique_ptr<MemoryNode> physical_;
  std::unique_ptr<FarNode> far_compressed_;
  std::unique_ptr<FarNode> far_physical_;
  std::vector<std::unique_ptr<DirectSpace>> spaces_;
  std::vector<std::unique_ptr<LyingSpace>> liars_;
  std::vector<std::unique_ptr<Workload>> workloads_;
  std::unique_ptr<FrontEnd> front_end_;
  int restarts_ = 0;
};

void ExpectRight(World& world) {
  for (const std::string& line : world.WrongPages()) {
    ADD_FAILURE() << line;
  }
}

TEST(Model, RandomOperationsAgreeWithAMap) {
  SeededRandom seeds(TestSeed());
  constexpr uint64_t kWorlds = 4;
  for (uint64_t i = 0; i < kWorlds && !testing::Test::HasFailure(); ++i) {
    World world(seeds.Next64());
    while (world.issued() < Operations() / kWorlds && world.WrongPages().empty()) {
      world.Step();
    }
    world.Calm();
    world.LoadAll();
    ExpectRight(world);
    world.Print();
    world.FreeAll();
    world.LoadAll();
    ExpectRight(world);
    world.Restart();  // what late messages left on the nodes is found
    world.Calm();
    world.ExpectEmpty();
  }
}

// The canaries: the oracle must see each of these.
class Canary : public testing::Test {
 protected:
  Canary() {
    while (world_.issued() < 3000) {
      world_.Step();
    }
    world_.Restart();  // so that every record left on the nodes is one that a word names
    world_.Calm();
    world_.LoadAll();
    ExpectRight(world_);
  }
  World world_{TestSeed()};
};

TEST_F(Canary, AnotherPageWithMatchingChecksumsInANodeIsFound) {
  const std::vector<PageName> names = world_.compressed().Names();
  ASSERT_FALSE(names.empty());
  const PageName name = names[names.size() / 2];
  const PageBytes wrong = History::MakeContent(name.space, name.offset + 1, 1, true);
  ASSERT_TRUE(world_.compressed().PlantWrongPage(name, PageView(wrong.data(), kPageBytes)));
  world_.LoadAll();
  EXPECT_EQ(world_.WrongPages().size(), 1u);
}

// In all of them: where a free of unknown outcome was the last, zeros are right.
TEST_F(Canary, ZerosInPlaceOfPagesAreFound) {
  const PageBytes wrong = ZeroPage();
  for (const PageName& name : world_.compressed().Names()) {
    ASSERT_TRUE(world_.compressed().PlantWrongPage(name, PageView(wrong.data(), kPageBytes)));
  }
  world_.LoadAll();
  EXPECT_FALSE(world_.WrongPages().empty());
}

TEST_F(Canary, ASwappedPageIsFound) {
  world_.liar(0).lie = LyingSpace::Lie::kSwap;
  world_.LoadAll();
  EXPECT_EQ(world_.liar(0).lies_told, 1);
  EXPECT_EQ(world_.WrongPages().size(), 1u);
}

TEST_F(Canary, AnOverwrittenPageThatComesBackIsFound) {
  world_.liar(1).lie = LyingSpace::Lie::kOldPage;
  world_.LoadAll();
  EXPECT_EQ(world_.liar(1).lies_told, 1);
  EXPECT_EQ(world_.WrongPages().size(), 1u);
}

TEST_F(Canary, APageThatIsLostIsFound) {
  const std::vector<PageName> names = world_.compressed().Names();
  ASSERT_FALSE(names.empty());
  ASSERT_TRUE(world_.compressed().Drop(names.front()));
  world_.LoadAll();
  EXPECT_EQ(world_.WrongPages().size(), 1u);
}

}  // namespace
}  // namespace vswap
