#include "tests/support/memory_table_log.h"

#include "services/common/thread_pool.h"
#include "tests/support/table_log_contract.h"

namespace vswap {
namespace {

class MemorySetup : public TableLogSetup {
 public:
  TableLog& log() override { return log_; }

 private:
  MemoryTableLog log_;
};

INSTANTIATE_TEST_SUITE_P(Memory, TableLogContract, testing::Values(TableLogFactory([] {
                           return std::make_unique<MemorySetup>();
                         })));

LogWrite First() {
  LogWrite write;
  write.epoch = 1;
  write.sequence = 1;
  write.slots = {{1, 7, 1, 1}};
  return write;
}

TEST(MemoryTableLog, AFaultBeforeTheEffectChangesNothingAndOneAfterItDoes) {
  MemoryTableLog log;
  const auto write = [&] {
    return Await<bool>([&](auto done) { log.Write(First(), done); }).status().code();
  };
  const auto slots = [&] {
    return Await<LogReadReply>([&](auto done) { log.Read(0, "", 10, done); })->slots.size();
  };
  log.faults().FailBeforeEffect(1);
  EXPECT_EQ(write(), StatusCode::kUnavailable);
  EXPECT_EQ(slots(), 0u);
  log.faults().FailAfterEffect(1);
  EXPECT_EQ(write(), StatusCode::kUnavailable);
  EXPECT_EQ(slots(), 1u);
  EXPECT_EQ(write(), StatusCode::kOk);  // the repeat
}

TEST(MemoryTableLog, AnExecutorDelaysTheAnswer) {
  ManualExecutor executor;
  MemoryTableLog log(&executor);
  bool answered = false;
  log.Write(First(), [&](const auto&) { answered = true; });
  EXPECT_FALSE(answered);
  executor.RunReady();
  EXPECT_TRUE(answered);
}

}  // namespace
}  // namespace vswap
