#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/device_workload.h"
#include "tests/model/direct_space.h"
#include "tests/model/entry_workload.h"
#include "tests/model/lying_space.h"
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

// A front-end on a bad network, some spaces and their workloads, all driven by one thread and one
// seed.
class World {
 public:
  static constexpr int kDeviceSpaces = 3;
  static constexpr int kAllocatedSpaces = 2;

  World(uint64_t seed, bool writeback)
      : random_(seed),
        network_(random_.Next64()),
        // Where pages are written back, the upper tier is small and the lower one has room.
        compressed_pages_(!writeback && random_.Below(2) == 0 ? 1000 : 120),
        physical_pages_(writeback ? 1000 : compressed_pages_),
        writeback_(writeback) {
    compressed_ =
        std::make_unique<MemoryNode>(MemoryNode::Options{.mode = MemoryNode::Mode::kCompressed,
                                                         .capacity_pages = compressed_pages_,
                                                         .overlap_pages = 8});
    physical_ = std::make_unique<MemoryNode>(MemoryNode::Options{
        .capacity_pages = physical_pages_, .overlap_pages = 8, .incarnation = 2});
    far_compressed_ = std::make_unique<FarNode>(network_, *compressed_);
    far_physical_ = std::make_unique<FarNode>(network_, *physical_);
    StartFrontEnd();
    for (int i = 0; i < kDeviceSpaces; ++i) {
      AddDeviceSpace("space-" + std::to_string(i));
    }
    // One that is full at times; and one of a stripe and a bit, which may lie in two shards.
    AddAllocatedSpace("entries-0", 2000, 3000);
    AddAllocatedSpace("entries-1", kStripePages + 600, 500);
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
    workloads_[random_.Below(workloads_.size())]->IssueOne();
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
    for (bool more = true; more && !testing::Test::HasFailure();) {
      more = false;
      for (const auto& workload : workloads_) {
        more = workload->FreeAll() || more;
      }
      Calm();
    }
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
  Workload::Counts Sum() {
    Workload::Counts sum;
    for (const auto& workload : workloads_) {
      sum += workload->counts();
    }
    return sum;
  }
  int restarts() const { return restarts_; }
  uint64_t written_back() const { return written_back_ + front_end_->counters().written_back; }
  LyingSpace& liar(int i) { return *liars_[static_cast<size_t>(i)]; }
  LyingEntries& lying_entries(int i) { return *lying_entries_[static_cast<size_t>(i)]; }
  MemoryNode& compressed() { return *compressed_; }
  // The compressor's records that are pages: late messages may have left others.
  std::vector<PageName> CompressedPages() {
    std::vector<PageName> names = compressed_->Names();
    std::erase_if(names, [this](const PageName& name) {
      return std::ranges::none_of(front_end_->shards(), [&](const auto& shard) {
        const Word word = shard->Lookup(name.space, name.offset).word;
        return word.kind() == Backing::kCompressed && word.version() == name.version;
      });
    });
    return names;
  }

 private:
  OpenReply Open(const std::string& name, uint64_t pages, SpaceKind kind) {
    OpenReply opened;
    front_end_->Open({.name = name, .holder = "model", .create_pages = pages, .kind = kind},
                     [&](const StatusOr<OpenReply>& reply) {
                       ASSERT_TRUE(reply.ok()) << reply.status();
                       opened = *reply;
                     });
    Run(1000000);
    spaces_.push_back(
        std::make_unique<DirectSpace>(*front_end_, opened, client_executor_, random_.Next64()));
    return opened;
  }
  void AddDeviceSpace(const std::string& name) {
    const SpaceId id = Open(name, 1 << 20, SpaceKind::kDevice).space;
    liars_.push_back(std::make_unique<LyingSpace>(*spaces_.back()));
    // Over cluster and shard boundaries.
    workloads_.push_back(std::make_unique<DeviceWorkload>(
        *liars_.back(), id,
        DeviceWorkload::Options{.seed = random_.Next64(), .regions = {0, 480, 40000, 700000}}));
  }
  void AddAllocatedSpace(const std::string& name, uint64_t pages, uint64_t references_max) {
    const SpaceId id = Open(name, pages, SpaceKind::kAllocated).space;
    lying_entries_.push_back(std::make_unique<LyingEntries>(*spaces_.back()));
    workloads_.push_back(std::make_unique<EntryWorkload>(
        *lying_entries_.back(), id,
        EntryWorkload::Options{
            .seed = random_.Next64(), .space_pages = pages, .references_max = references_max}));
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
      FrontEnd::Options options{.shard_count = 3};
      if (writeback_) {
        options.writeback =
            Writeback::Options{.start = 0.6, .end = 0.4, .interval = std::chrono::milliseconds(1)};
      }
      front_end_ = std::make_unique<FrontEnd>(std::move(options), coordinator_,
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
    if (front_end_ != nullptr) {
      written_back_ += front_end_->counters().written_back;
    }
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
  const uint64_t compressed_pages_;
  const uint64_t physical_pages_;
  const bool writeback_;
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
  std::vector<std::unique_ptr<LyingEntries>> lying_entries_;
  std::vector<std::unique_ptr<Workload>> workloads_;
  std::unique_ptr<FrontEnd> front_end_;
  uint64_t written_back_ = 0;  // by front-ends of the past
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
  uint64_t written_back = 0;
  for (uint64_t i = 0; i < kWorlds && !testing::Test::HasFailure(); ++i) {
    World world(seeds.Next64(), i % 2 == 0);
    while (world.Sum().issued < Operations() / kWorlds && world.WrongPages().empty()) {
      world.Step();
    }
    world.Calm();
    world.LoadAll();
    ExpectRight(world);
    const Workload::Counts sum = world.Sum();
    written_back += world.written_back();
    std::printf("%s\n  %d restarts, %llu pages written back\n", sum.ToString().c_str(),
                world.restarts(), static_cast<unsigned long long>(world.written_back()));
    world.FreeAll();
    world.LoadAll();
    ExpectRight(world);
    world.Restart();  // what late messages left on the nodes is found
    world.Calm();
    world.ExpectEmpty();
  }
  EXPECT_GT(written_back, 0u);
}

// The canaries: the oracle must see each of these.
class Canary : public testing::Test {
 protected:
  Canary() {
    while (world_.Sum().issued < 3000) {
      world_.Step();
    }
    world_.Restart();
    world_.Calm();
    world_.LoadAll();
    ExpectRight(world_);
  }
  // That the oracle finds what is wrong then, and calls it so.
  void ExpectFound(LyingEntries::Lie lie, const std::string& as) {
    world_.lying_entries(0).lie = lie;
    for (int i = 0; i < 20000 && world_.WrongPages().empty(); ++i) {
      world_.Step();
    }
    // A backing query may be the first to see it.
    EXPECT_THAT(world_.WrongPages(),
                testing::Contains(testing::ContainsRegex(as + "|its backing cannot be")));
  }
  World world_{TestSeed(), true};
};

TEST_F(Canary, AnotherPageWithMatchingChecksumsInANodeIsFound) {
  const std::vector<PageName> names = world_.CompressedPages();
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
  for (const PageName& name : world_.CompressedPages()) {
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
  const std::vector<PageName> names = world_.CompressedPages();
  ASSERT_FALSE(names.empty());
  ASSERT_TRUE(world_.compressed().Drop(names.front()));
  world_.LoadAll();
  EXPECT_EQ(world_.WrongPages().size(), 1u);
}

TEST_F(Canary, AnExtentThatIsHandedOutTwiceIsFound) {
  ExpectFound(LyingEntries::Lie::kDoubleAllocation, "handed out while it is live");
}

TEST_F(Canary, AReferenceThatIsDroppedTwiceIsFound) {
  ExpectFound(LyingEntries::Lie::kDoubleFree,
              "a live entry was not found|answered not_found|dropped|cannot be free|handed out "
              "while it is live");
}

TEST_F(Canary, AReferenceThatIsNotAddedIsFound) {
  ExpectFound(LyingEntries::Lie::kLostDuplicate,
              "a live entry was not found|answered not_found|dropped|cannot be free|answered "
              "ok|handed out while it is live");
}

TEST_F(Canary, AFreedEntryThatComesBackIsFound) {
  ExpectFound(LyingEntries::Lie::kResurrection, "a freed entry was loaded");
}

TEST_F(Canary, AFolioThatIsHalfStoredIsFound) {
  ExpectFound(LyingEntries::Lie::kHalfStored, "is not the last one|answered ok|and then refused");
}

TEST_F(Canary, AFolioThatIsHalfRefusedIsFound) {
  ExpectFound(LyingEntries::Lie::kHalfRefused, "is not the last one");
}

// Where it is certain that one is zeros and another is not.
TEST_F(Canary, AMixedFolioThatIsLoadedAsOneIsFound) {
  ExpectFound(LyingEntries::Lie::kNotMixed, "is not called mixed");
}

TEST_F(Canary, ABackingThatCannotBeIsFound) {
  ExpectFound(LyingEntries::Lie::kWrongBacking, "its backing cannot be physical");
}

}  // namespace
}  // namespace vswap
