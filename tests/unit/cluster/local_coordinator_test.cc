#include "services/cluster/local_coordinator.h"

#include <rocksdb/db.h>

#include "services/common/thread_pool.h"
#include "tests/support/coordinator_contract.h"
#include "tests/support/temp_dir.h"

namespace vswap {
namespace {

class LocalSetup : public CoordinatorSetup {
 public:
  ~LocalSetup() override { pool_.Stop(); }
  Coordinator& coordinator() override { return *coordinator_; }

 private:
  TempDir dir_;
  ThreadPool pool_{3};
  std::unique_ptr<LocalCoordinator> coordinator_ =
      std::move(LocalCoordinator::Open(dir_.path(), pool_)).value();
};

INSTANTIATE_TEST_SUITE_P(Local, CoordinatorContract, testing::Values(CoordinatorFactory([] {
                           return std::make_unique<LocalSetup>();
                         })));

StatusOr<TransactionReply> Commit(Coordinator& coordinator, const Transaction& transaction) {
  return Await<TransactionReply>([&](auto done) { coordinator.Commit(transaction, done); });
}

TEST(LocalCoordinator, RecordsAndRevisionsOutliveIt) {
  TempDir dir;
  ManualExecutor executor;
  uint64_t revision = 0;
  {
    auto coordinator = LocalCoordinator::Open(dir.path(), executor);
    ASSERT_TRUE(coordinator.ok()) << coordinator.status();
    ASSERT_TRUE(Commit(**coordinator, {{}, {{"a", "1"}}, {}})->succeeded);
    revision = Commit(**coordinator, {{}, {{"b", "2"}}, {"a"}})->revision;
  }
  auto coordinator = LocalCoordinator::Open(dir.path(), executor);
  ASSERT_TRUE(coordinator.ok()) << coordinator.status();
  EXPECT_FALSE(Commit(**coordinator, {{{"b", revision - 1}}, {{"b", "3"}}, {}})->succeeded);
  EXPECT_EQ(Commit(**coordinator, {{{"b", revision}, {"a", 0}}, {{"b", "3"}}, {}})->revision,
            revision + 1);
}

TEST(LocalCoordinator, LeasesEndWithTheProcess) {
  TempDir dir;
  ManualExecutor executor;
  uint64_t revision = 0;
  {
    auto coordinator = LocalCoordinator::Open(dir.path(), executor);
    ASSERT_TRUE(coordinator.ok()) << coordinator.status();
    const auto lease = Await<Lease>([&](auto done) {
      (*coordinator)
          ->GrantLease(
              std::chrono::seconds(1), [](Status) {}, done);
    });
    ASSERT_TRUE(lease.ok()) << lease.status();
    ASSERT_TRUE(
        Commit(**coordinator, {{}, {{"a", "1", lease->id}, {"b", "1", lease->id}}, {}})->succeeded);
    revision = Commit(**coordinator, {{}, {{"b", "2"}}, {}})->revision;
  }
  auto coordinator = LocalCoordinator::Open(dir.path(), executor);
  ASSERT_TRUE(coordinator.ok()) << coordinator.status();
  EXPECT_TRUE(Commit(**coordinator, {{{"a", 0}, {"b", revision}}, {}, {}})->succeeded);
  EXPECT_EQ(Commit(**coordinator, {})->revision, revision + 1);
}

TEST(LocalCoordinator, AWatchFromBeforeTheProcessBeginsWithWhatIsThere) {
  TempDir dir;
  ManualExecutor executor;
  {
    auto coordinator = LocalCoordinator::Open(dir.path(), executor);
    ASSERT_TRUE(coordinator.ok()) << coordinator.status();
    ASSERT_TRUE(Commit(**coordinator, {{}, {{"a", "1"}}, {}})->succeeded);
  }
  auto coordinator = LocalCoordinator::Open(dir.path(), executor);
  ASSERT_TRUE(coordinator.ok()) << coordinator.status();
  WatchLog log;
  const auto watch = (*coordinator)->Watch("a", 1, log.handler());
  ASSERT_TRUE(Commit(**coordinator, {{}, {{"a", "2"}}, {}})->succeeded);
  executor.RunReady();
  EXPECT_EQ(log.Texts(), (std::vector<std::string>{"now: a=1", "a=2"}));
}

TEST(LocalCoordinator, ASecondOneOnTheDirectoryIsRefused) {
  TempDir dir;
  ManualExecutor executor;
  const auto first = LocalCoordinator::Open(dir.path(), executor);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = LocalCoordinator::Open(dir.path(), executor);
  EXPECT_EQ(second.status().code(), StatusCode::kUnavailable) << second.status();
}

TEST(LocalCoordinator, AnotherFormatVersionIsRefused) {
  TempDir dir;
  ManualExecutor executor;
  { ASSERT_TRUE(LocalCoordinator::Open(dir.path(), executor).ok()); }
  {
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, dir.path() + "/coordinator", &db).ok());
    const std::unique_ptr<rocksdb::DB> owned(db);
    ASSERT_TRUE(owned->Put({}, "format", "2").ok());
  }
  const auto opened = LocalCoordinator::Open(dir.path(), executor);
  EXPECT_EQ(opened.status().code(), StatusCode::kFailedPrecondition) << opened.status();
  EXPECT_NE(MessageOf(opened.status()).find("is 2, allowed: 1"), std::string_view::npos)
      << opened.status();
}

TEST(LocalCoordinator, ADirectoryThatCannotBeMadeIsNamed) {
  ManualExecutor executor;
  const auto opened = LocalCoordinator::Open("/proc/vswap-nowhere", executor);
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(MessageOf(opened.status()).find("/proc/vswap-nowhere"), std::string_view::npos);
}

}  // namespace
}  // namespace vswap
