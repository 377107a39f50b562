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

}  // namespace
}  // namespace vswap
