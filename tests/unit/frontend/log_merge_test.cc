#include "services/frontend/log_merge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>

#include "services/common/thread_pool.h"
#include "tests/support/await.h"
#include "tests/support/memory_table_log.h"

namespace vswap {
namespace {

constexpr SpaceId kSpace = 1;

SlotRecord Record(Offset offset, Version version) {
  return {kSpace, offset, Word(Backing::kZero, 0, version).bits(), Companion::Stored(0).bits()};
}

class LogMergeTest : public testing::Test {
 protected:
  ~LogMergeTest() override { executor_.DropTasks(); }

  LogWrite Next(std::vector<SlotRecord> slots) {
    LogWrite write;
    write.epoch = 1;
    write.sequence = ++sequence_;
    write.slots = std::move(slots);
    return write;
  }
  static void Tell(MemoryTableLog& log, const LogWrite& write) {
    ASSERT_TRUE(Await<bool>([&](auto done) { log.Write(write, done); }).ok());
  }
  void TellAll(const LogWrite& write) {
    for (MemoryTableLog& log : logs_) {
      Tell(log, write);
    }
  }
  // What a new owner of epoch 2 finds; the nodes that are not to be used.
  StatusOr<std::vector<NodeId>> Restore() {
    shard_ = std::make_shared<Shard>(Shard::Options{.id = 0, .epoch = 2},
                                     std::vector<TableLog*>{&logs_[0], &logs_[1]}, executor_);
    std::vector<SealedLog> sealed;
    for (size_t i = 0; i < logs_.size(); ++i) {
      const auto end = Await<LogEnd>([&](auto done) { logs_[i].Seal(0, 2, done); });
      sealed.push_back({static_cast<NodeId>(i + 1), &logs_[i], *end});
    }
    std::ranges::stable_sort(sealed, std::ranges::greater(),
                             [](const SealedLog& log) { return log.end.last_sequence; });
    StatusOr<std::vector<NodeId>> bad = MakeError(StatusCode::kUnknown, "no answer");
    RestoreShard(shard_, sealed, executor_,
                 [&](StatusOr<std::vector<NodeId>> answer) { bad = std::move(answer); });
    executor_.RunReady();
    return bad;
  }
  static LogReadReply ReadAll(MemoryTableLog& log) {
    return *Await<LogReadReply>([&](auto done) { log.Read(0, "", kLogReadSlotsMax, done); });
  }
  LogEnd EndOf(MemoryTableLog& log) {
    return *Await<LogEnd>([&](auto done) { log.Seal(0, 2, done); });
  }
  void ExpectLevel() {
    const LogReadReply first = ReadAll(logs_[0]);
    const LogReadReply second = ReadAll(logs_[1]);
    EXPECT_EQ(first.slots, second.slots);
    EXPECT_EQ(first.requests, second.requests);
    EXPECT_EQ(EndOf(logs_[0]).last_sequence, EndOf(logs_[1]).last_sequence);
    EXPECT_EQ(EndOf(logs_[0]).versions_reserved, EndOf(logs_[1]).versions_reserved);
    EXPECT_EQ(EndOf(logs_[0]).tokens.size(), EndOf(logs_[1]).tokens.size());
    EXPECT_EQ(EndOf(logs_[0]).tokens.back().token, EndOf(logs_[1]).tokens.back().token);
  }

  ManualExecutor executor_;
  std::array<MemoryTableLog, 2> logs_;
  Sequence sequence_ = 0;
  std::shared_ptr<Shard> shard_;
};

// Either may be the one that is ahead.
class LogMergeSides : public LogMergeTest, public testing::WithParamInterface<size_t> {};
INSTANTIATE_TEST_SUITE_P(Both, LogMergeSides, testing::Values(0, 1));

TEST_P(LogMergeSides, TheLastWriteOfOneReplicaIsDecided) {
  LogWrite first = Next({Record(1, 1), Record(2, 2), Record(5, 3), Record(9, 4)});
  first.tokens = {{kSpace, 7}};
  first.versions_reserved = 1000;
  first.requests = {{{kSpace, 7, 1}, ""}, {{kSpace, 7, 2}, ""}};
  TellAll(first);
  LogWrite last = Next({Record(2, 20), Record(6, 21), Record(10, 22)});
  last.purges = {{kSpace, 1}, {kSpace, 9}};
  last.tokens = {{kSpace, 8}};
  last.versions_reserved = 2000;
  last.requests = {{{kSpace, 7, 3}, ""}};
  last.forgotten = {{kSpace, 7, 1}};
  Tell(logs_[GetParam()], last);
  const auto bad = Restore();
  ASSERT_TRUE(bad.ok()) << bad.status();
  EXPECT_TRUE(bad->empty());
  ExpectLevel();
  EXPECT_EQ(ReadAll(logs_[0]).slots,
            (std::vector<SlotRecord>{Record(2, 20), Record(5, 3), Record(6, 21), Record(10, 22)}));
  EXPECT_EQ(shard_->Lookup(kSpace, 1).word, Word());
  EXPECT_EQ(shard_->Lookup(kSpace, 2).word.version(), 20u);
  EXPECT_EQ(shard_->Lookup(kSpace, 6).word.version(), 21u);
  EXPECT_EQ(shard_->next_version(), 2000u);
}

TEST_F(LogMergeTest, LevelReplicasAreReadOnce) {
  LogWrite write = Next({Record(1, 1)});
  write.tokens = {{kSpace, 7}};
  write.versions_reserved = 1000;
  TellAll(write);
  const auto bad = Restore();
  ASSERT_TRUE(bad.ok()) << bad.status();
  EXPECT_TRUE(bad->empty());
  EXPECT_EQ(shard_->Lookup(kSpace, 1).word.version(), 1u);
}

// Longer than one piece, of which the last write changes some.
TEST_F(LogMergeTest, LongLogsAreMergedPieceByPiece) {
  std::vector<SlotRecord> records;
  for (Offset offset = 0; offset < 40000; ++offset) {
    records.push_back(Record(offset, offset + 1));
  }
  LogWrite write = Next(records);
  write.versions_reserved = 100000;
  write.tokens = {{kSpace, 7}};
  TellAll(write);
  std::vector<SlotRecord> changed;
  LogWrite last = Next({});
  for (Offset offset = 0; offset < 40000; offset += 7) {
    last.slots.push_back(Record(offset, 50000 + offset));
    if (offset % 2 == 0) {
      last.purges.push_back({kSpace, offset + 1});
    }
  }
  Tell(logs_[1], last);
  const auto bad = Restore();
  ASSERT_TRUE(bad.ok()) << bad.status();
  EXPECT_TRUE(bad->empty());
  ExpectLevel();
  EXPECT_EQ(shard_->Lookup(kSpace, 39998).word.version(), 89998u);
  EXPECT_EQ(shard_->Lookup(kSpace, 15).word, Word());
}

// It cannot be told what it lacks in one write.
TEST_F(LogMergeTest, AReplicaThatIsFurtherBehindIsLeftOut) {
  LogWrite write = Next({Record(1, 1)});
  write.versions_reserved = 1000;
  TellAll(write);
  Tell(logs_[0], Next({Record(1, 2)}));
  Tell(logs_[0], Next({Record(2, 3)}));
  const auto bad = Restore();
  ASSERT_TRUE(bad.ok()) << bad.status();
  EXPECT_EQ(*bad, std::vector<NodeId>{2});
  EXPECT_EQ(shard_->Lookup(kSpace, 1).word.version(), 2u);
}

TEST_F(LogMergeTest, AReplicaThatCannotBeToldIsLeftOut) {
  LogWrite write = Next({Record(1, 1)});
  write.versions_reserved = 1000;
  TellAll(write);
  Tell(logs_[0], Next({Record(1, 2)}));
  Await<LogEnd>([&](auto done) { logs_[1].Seal(0, 3, done); }).IgnoreError();  // of a later owner
  shard_ = std::make_shared<Shard>(Shard::Options{.id = 0, .epoch = 2},
                                   std::vector<TableLog*>{&logs_[0], &logs_[1]}, executor_);
  StatusOr<std::vector<NodeId>> bad = MakeError(StatusCode::kUnknown, "no answer");
  RestoreShard(shard_, {{1, &logs_[0], {2, 1000, {}, 1}}, {2, &logs_[1], {1, 1000, {}, 1}}},
               executor_, [&](StatusOr<std::vector<NodeId>> answer) { bad = std::move(answer); });
  executor_.RunReady();
  ASSERT_TRUE(bad.ok()) << bad.status();
  EXPECT_EQ(*bad, std::vector<NodeId>{2});
}

// Answers from another log once a piece of the first was read.
class ReplacedLog : public TableLog {
 public:
  ReplacedLog(TableLog& first, TableLog& second) : log_(&first), second_(second) {}
  void Write(LogWrite write, Callback<bool> done) override {
    log_->Write(std::move(write), std::move(done));
  }
  void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) override {
    log_->Seal(shard, epoch, std::move(done));
  }
  void Read(ShardId shard, std::string cursor, uint32_t limit,
            Callback<LogReadReply> done) override {
    std::exchange(log_, &second_)->Read(shard, std::move(cursor), limit, std::move(done));
  }

 private:
  TableLog* log_;
  TableLog& second_;
};

class AReplacedLog : public LogMergeTest {
 protected:
  void TellMuch(MemoryTableLog& log) {
    LogWrite write;
    write.epoch = 1;
    write.sequence = 1;
    for (Offset offset = 0; offset < 40000; ++offset) {
      write.slots.push_back(Record(offset, offset + 1));
    }
    write.versions_reserved = 100000;
    Tell(log, write);
  }
  Status RestoreWhileReplacedBy(TableLog& second) {
    TellMuch(logs_[0]);
    ReplacedLog log(logs_[0], second);
    shard_ = std::make_shared<Shard>(Shard::Options{.id = 0, .epoch = 2},
                                     std::vector<TableLog*>{&log}, executor_);
    const auto end = Await<LogEnd>([&](auto done) { log.Seal(0, 2, done); });
    Status result = MakeError(StatusCode::kUnknown, "no answer");
    RestoreShard(shard_, {{1, &log, *end}}, executor_,
                 [&](const StatusOr<std::vector<NodeId>>& answer) { result = answer.status(); });
    executor_.RunReady();
    return result;
  }
};

TEST_F(AReplacedLog, ByAnEmptyOneIsNotServed) {
  MemoryTableLog empty;
  EXPECT_EQ(RestoreWhileReplacedBy(empty).code(), StatusCode::kUnavailable);
}

TEST_F(AReplacedLog, ByOneOfAnotherIncarnationIsNotServed) {
  MemoryTableLog other(nullptr, /*incarnation=*/2);
  TellMuch(other);
  EXPECT_EQ(RestoreWhileReplacedBy(other).code(), StatusCode::kUnavailable);
}

TEST_F(AReplacedLog, ByItselfIsServed) {
  EXPECT_TRUE(RestoreWhileReplacedBy(logs_[0]).ok());
  EXPECT_EQ(shard_->Lookup(kSpace, 39999).word.version(), 40000u);
}

}  // namespace
}  // namespace vswap
