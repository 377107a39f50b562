#include "tests/support/memory_coordinator.h"

#include "services/common/thread_pool.h"
#include "tests/support/coordinator_contract.h"

namespace vswap {
namespace {

class MemorySetup : public CoordinatorSetup {
 public:
  Coordinator& coordinator() override { return coordinator_; }

 private:
  MemoryCoordinator coordinator_;
};

INSTANTIATE_TEST_SUITE_P(Memory, CoordinatorContract, testing::Values(CoordinatorFactory([] {
                           return std::make_unique<MemorySetup>();
                         })));

TEST(MemoryCoordinator, AFaultBeforeTheEffectChangesNothingAndOneAfterItDoes) {
  MemoryCoordinator coordinator;
  const auto commit = [&](const std::string& key) {
    return Await<TransactionReply>([&](auto done) {
      coordinator.Commit({{}, {{key, "1"}}, {}}, done);
    });
  };
  const auto has = [&](const std::string& key) {
    return Await<std::optional<KeyValue>>([&](auto done) { coordinator.Get(key, done); })
        ->has_value();
  };
  coordinator.faults().FailBeforeEffect(1);
  EXPECT_EQ(commit("before").status().code(), StatusCode::kUnavailable);
  EXPECT_FALSE(has("before"));
  coordinator.faults().FailAfterEffect(1);
  EXPECT_EQ(commit("after").status().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(has("after"));
  EXPECT_TRUE(commit("healthy").ok());
}

TEST(MemoryCoordinator, AnExecutorDelaysTheAnswer) {
  ManualExecutor executor;
  MemoryCoordinator coordinator(&executor);
  bool answered = false;
  coordinator.Commit({{}, {{"a", "1"}}, {}}, [&](const auto&) { answered = true; });
  EXPECT_FALSE(answered);
  executor.RunReady();
  EXPECT_TRUE(answered);
}

TEST(MemoryCoordinator, AnExpiredLeaseTellsItsOwner) {
  MemoryCoordinator coordinator;
  std::vector<Status> lost;
  const auto lease = Await<Lease>([&](auto done) {
    coordinator.GrantLease(
        std::chrono::seconds(1), [&](const Status& status) { lost.push_back(status); }, done);
  });
  ASSERT_TRUE(lease.ok()) << lease.status();
  ASSERT_TRUE(Await<TransactionReply>([&](auto done) {
                coordinator.Commit({{}, {{"a", "1", lease->id}}, {}}, done);
              }).ok());
  coordinator.ExpireLease(lease->id);
  coordinator.ExpireLease(lease->id);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].code(), StatusCode::kNotFound);
  EXPECT_FALSE(*Await<std::optional<KeyValue>>([&](auto done) { coordinator.Get("a", done); }));
}

TEST(MemoryCoordinator, AWatchFromBeforeACompactionBeginsWithWhatIsThere) {
  MemoryCoordinator coordinator;
  uint64_t revision = 0;
  for (const char* value : {"1", "2", "3"}) {
    revision = Await<TransactionReply>([&](auto done) {
                 coordinator.Commit({{}, {{"a", value}}, {}}, done);
               })->revision;
  }
  coordinator.Compact(revision - 1);
  WatchLog log;
  const auto before = coordinator.Watch("a", 1, log.handler());
  EXPECT_EQ(log.Texts(), std::vector<std::string>{"now: a=3"});
  WatchLog rest;
  const auto after = coordinator.Watch("a", revision, rest.handler());
  EXPECT_EQ(rest.Texts(), std::vector<std::string>{"a=3"});
}

}  // namespace
}  // namespace vswap
