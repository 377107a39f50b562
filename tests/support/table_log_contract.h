#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "services/cluster/log_rules.h"
#include "services/cluster/table_log.h"
#include "tests/support/await.h"

// What every body of TableLog must do. A body's test, a program of its own, includes this and
// instantiates it:
//   INSTANTIATE_TEST_SUITE_P(Memory, TableLogContract, testing::Values(TableLogFactory(...)));
namespace vswap {

// A body and what it stands on.
class TableLogSetup {
 public:
  virtual ~TableLogSetup() = default;
  virtual TableLog& log() = 0;
  // Whether calls that do not wait for each other arrive in their order.
  virtual bool ordered() const { return true; }
};

using TableLogFactory = std::function<std::unique_ptr<TableLogSetup>()>;

class TableLogContract : public testing::TestWithParam<TableLogFactory> {
 protected:
  static constexpr ShardId kShard = 3;

  static LogWrite WriteOf(Epoch epoch, Sequence sequence, std::vector<SlotRecord> slots = {}) {
    LogWrite write;
    write.shard = kShard;
    write.epoch = epoch;
    write.sequence = sequence;
    write.slots = std::move(slots);
    return write;
  }
  Status Write(LogWrite write) {
    return Await<bool>([&](auto done) { log().Write(std::move(write), done); }).status();
  }
  StatusOr<LogEnd> Seal(Epoch epoch, ShardId shard = kShard) {
    return Await<LogEnd>([&](auto done) { log().Seal(shard, epoch, done); });
  }
  StatusOr<LogReadReply> Read(const std::string& cursor, uint32_t limit, ShardId shard = kShard) {
    return Await<LogReadReply>([&](auto done) { log().Read(shard, cursor, limit, done); });
  }
  // All slots, read `limit` at a time.
  std::vector<SlotRecord> ReadAll(uint32_t limit = 100, ShardId shard = kShard) {
    std::vector<SlotRecord> slots;
    std::string cursor;
    do {
      const auto reply = Read(cursor, limit, shard);
      EXPECT_TRUE(reply.ok()) << reply.status();
      if (!reply.ok()) {
        break;
      }
      EXPECT_LE(reply->slots.size(), limit);
      slots.insert(slots.end(), reply->slots.begin(), reply->slots.end());
      cursor = reply->next_cursor;
    } while (!cursor.empty());
    return slots;
  }
  TableLog& log() { return setup_->log(); }
  bool ordered() const { return setup_->ordered(); }

 private:
  std::unique_ptr<TableLogSetup> setup_ = GetParam()();
};

TEST_P(TableLogContract, AnEmptyLogEndsAtZero) {
  const auto end = Seal(1);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->last_sequence, 0u);
  EXPECT_EQ(end->versions_reserved, 0u);
  EXPECT_TRUE(end->tokens.empty());
  EXPECT_TRUE(ReadAll().empty());
}

TEST_P(TableLogContract, WhatWasWrittenIsReadInKeyOrder) {
  ASSERT_TRUE(Write(WriteOf(1, 1, {{2, 5, 50, 500}, {1, 256, 30, 300}})).ok());
  ASSERT_TRUE(Write(WriteOf(1, 2, {{1, 1, 10, 100}, {1, 255, 20, 200}})).ok());
  const std::vector<SlotRecord> wanted = {
      {1, 1, 10, 100}, {1, 255, 20, 200}, {1, 256, 30, 300}, {2, 5, 50, 500}};
  EXPECT_EQ(ReadAll(), wanted);
  for (uint32_t limit = 1; limit <= 5; ++limit) {
    EXPECT_EQ(ReadAll(limit), wanted) << "limit " << limit;
  }
}

TEST_P(TableLogContract, TheLastOfTwoRecordsOfASlotWins) {
  ASSERT_TRUE(Write(WriteOf(1, 1, {{1, 7, 1, 1}, {1, 7, 2, 2}})).ok());
  EXPECT_EQ(ReadAll(), (std::vector<SlotRecord>{{1, 7, 2, 2}}));
}

TEST_P(TableLogContract, PurgesComeBeforeSlots) {
  ASSERT_TRUE(Write(WriteOf(1, 1, {{1, 7, 1, 1}, {1, 8, 1, 1}})).ok());
  LogWrite write = WriteOf(1, 2, {{1, 7, 2, 2}});
  write.purges = {{1, 7}, {1, 8}, {1, 9}};
  ASSERT_TRUE(Write(write).ok());
  EXPECT_EQ(ReadAll(), (std::vector<SlotRecord>{{1, 7, 2, 2}}));
}

TEST_P(TableLogContract, ARepeatIsOkAndChangesNothing) {
  ASSERT_TRUE(Write(WriteOf(1, 1, {{1, 7, 1, 1}})).ok());
  ASSERT_TRUE(Write(WriteOf(1, 2, {{1, 7, 2, 2}})).ok());
  EXPECT_TRUE(Write(WriteOf(1, 1, {{1, 7, 1, 1}})).ok());
  EXPECT_TRUE(Write(WriteOf(1, 2, {{1, 7, 9, 9}})).ok());
  EXPECT_EQ(ReadAll(), (std::vector<SlotRecord>{{1, 7, 2, 2}}));
  EXPECT_EQ(Seal(1)->last_sequence, 2u);
}

TEST_P(TableLogContract, AGapIsRefusedAndChangesNothing) {
  ASSERT_TRUE(Write(WriteOf(1, 1, {{1, 7, 1, 1}})).ok());
  const Status status = Write(WriteOf(1, 3, {{1, 7, 3, 3}}));
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
  EXPECT_EQ(ReasonOf(status), ErrorReason::kNone);
  EXPECT_NE(MessageOf(status).find("sequence"), std::string_view::npos) << status;
  EXPECT_EQ(ReadAll(), (std::vector<SlotRecord>{{1, 7, 1, 1}}));
  EXPECT_TRUE(Write(WriteOf(1, 2)).ok());
}

TEST_P(TableLogContract, ASealFencesOlderEpochs) {
  ASSERT_TRUE(Write(WriteOf(1, 1, {{1, 7, 1, 1}})).ok());
  ASSERT_EQ(Seal(2)->last_sequence, 1u);
  for (const Sequence sequence : {1, 2}) {
    const Status status = Write(WriteOf(1, sequence, {{1, 7, 9, 9}}));
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
    EXPECT_EQ(ReasonOf(status), ErrorReason::kStaleEpoch) << status;
  }
  EXPECT_EQ(ReasonOf(Seal(1).status()), ErrorReason::kStaleEpoch);
  EXPECT_EQ(ReadAll(), (std::vector<SlotRecord>{{1, 7, 1, 1}}));
  EXPECT_TRUE(Write(WriteOf(2, 2, {{1, 7, 2, 2}})).ok());
}

TEST_P(TableLogContract, AWriteOfANewerEpochFencesToo) {
  ASSERT_TRUE(Write(WriteOf(1, 1)).ok());
  ASSERT_TRUE(Write(WriteOf(4, 2)).ok());
  EXPECT_EQ(ReasonOf(Write(WriteOf(3, 3))), ErrorReason::kStaleEpoch);
  EXPECT_EQ(ReasonOf(Seal(3).status()), ErrorReason::kStaleEpoch);
}

TEST_P(TableLogContract, SealingAgainIsHarmless) {
  ASSERT_TRUE(Seal(5).ok());
  ASSERT_TRUE(Write(WriteOf(5, 1)).ok());
  EXPECT_EQ(Seal(5)->last_sequence, 1u);
  EXPECT_TRUE(Write(WriteOf(5, 2)).ok());
}

// The sequence runs on over epochs: what an older owner wrote was never this owner's write, so it
// is no repeat.
TEST_P(TableLogContract, ASequenceOfAnOlderEpochIsNoRepeat) {
  ASSERT_TRUE(Write(WriteOf(1, 1)).ok());
  ASSERT_TRUE(Write(WriteOf(1, 2)).ok());
  ASSERT_TRUE(Seal(2).ok());
  EXPECT_EQ(Write(WriteOf(2, 2, {{1, 7, 9, 9}})).code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Write(WriteOf(2, 3, {{1, 7, 1, 1}})).ok());
  EXPECT_TRUE(Write(WriteOf(2, 3, {{1, 7, 9, 9}})).ok());
  EXPECT_EQ(ReadAll(), (std::vector<SlotRecord>{{1, 7, 1, 1}}));
}

TEST_P(TableLogContract, TheEndTellsTokensAndReservedVersions) {
  LogWrite write = WriteOf(1, 1);
  write.tokens = {{8, 80}, {4, 40}};
  write.versions_reserved = 1000;
  ASSERT_TRUE(Write(write).ok());
  write = WriteOf(1, 2);
  write.tokens = {{8, 81}};
  ASSERT_TRUE(Write(write).ok());
  const auto end = Seal(2);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->last_sequence, 2u);
  EXPECT_EQ(end->versions_reserved, 1000u);
  ASSERT_EQ(end->tokens.size(), 2u);
  EXPECT_EQ(end->tokens[0].space, 4u);
  EXPECT_EQ(end->tokens[0].token, 40u);
  EXPECT_EQ(end->tokens[1].space, 8u);
  EXPECT_EQ(end->tokens[1].token, 81u);
}

TEST_P(TableLogContract, ReservedVersionsNeverGoBack) {
  LogWrite write = WriteOf(1, 1);
  write.versions_reserved = 1000;
  ASSERT_TRUE(Write(write).ok());
  write = WriteOf(1, 2);
  write.versions_reserved = 999;
  EXPECT_EQ(Write(write).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Seal(1)->versions_reserved, 1000u);
}

TEST_P(TableLogContract, ShardsKnowNothingOfEachOther) {
  ASSERT_TRUE(Write(WriteOf(7, 1, {{1, 7, 1, 1}})).ok());
  EXPECT_TRUE(ReadAll(100, kShard + 1).empty());
  EXPECT_TRUE(ReadAll(100, kShard - 1).empty());
  EXPECT_EQ(Seal(1, kShard + 1)->last_sequence, 0u);
}

TEST_P(TableLogContract, WritesSentWithoutWaitingApplyInOrder) {
  if (!ordered()) {
    GTEST_SKIP() << "calls may overtake each other on the way";
  }
  constexpr Sequence kWrites = 300;
  std::vector<std::future<Status>> answers;
  for (Sequence sequence = 1; sequence <= kWrites; ++sequence) {
    auto promise = std::make_shared<std::promise<Status>>();
    answers.push_back(promise->get_future());
    log().Write(WriteOf(1, sequence, {{1, sequence % 10, sequence, 0}}),
                [promise](const StatusOr<bool>& answer) { promise->set_value(answer.status()); });
  }
  for (auto& answer : answers) {
    const Status status = answer.get();
    EXPECT_TRUE(status.ok()) << status;
  }
  const std::vector<SlotRecord> slots = ReadAll();
  ASSERT_EQ(slots.size(), 10u);
  for (const SlotRecord& slot : slots) {
    EXPECT_EQ(slot.word, kWrites - 10 + (slot.offset == 0 ? 10 : slot.offset));
  }
}

TEST_P(TableLogContract, AnswersOfRequestsAreKeptUntilForgotten) {
  LogWrite write = WriteOf(1, 1, {{1, 7, 1, 1}, {9, 7, 2, 2}});
  write.requests = {{{2, 1, 9}, "nine"}, {{1, 5, 256}, std::string("\0x", 2)}, {{1, 5, 3}, ""}};
  ASSERT_TRUE(Write(write).ok());
  write = WriteOf(1, 2);
  write.requests = {{{1, 6, 1}, "later"}, {{1, 5, 3}, "again"}};
  write.forgotten = {{1, 5, 256}, {1, 5, 3}, {4, 4, 4}};  // before the requests
  ASSERT_TRUE(Write(write).ok());
  const std::vector<RequestRecord> wanted = {
      {{1, 5, 3}, "again"}, {{1, 6, 1}, "later"}, {{2, 1, 9}, "nine"}};
  for (uint32_t limit = 1; limit <= 6; ++limit) {
    std::vector<RequestRecord> requests;
    size_t slots = 0;
    std::string cursor;
    do {
      const auto reply = Read(cursor, limit);
      ASSERT_TRUE(reply.ok()) << reply.status();
      ASSERT_LE(reply->slots.size() + reply->requests.size(), limit);
      slots += reply->slots.size();
      requests.insert(requests.end(), reply->requests.begin(), reply->requests.end());
      cursor = reply->next_cursor;
    } while (!cursor.empty());
    EXPECT_EQ(requests, wanted) << "limit " << limit;
    EXPECT_EQ(slots, 2u) << "limit " << limit;
  }
  EXPECT_TRUE(Read("", 9, kShard + 1)->requests.empty());
}

// A replica that joins: whatever it held is of an earlier time.
TEST_P(TableLogContract, AFirstWriteReplacesWhatWasThere) {
  LogWrite old = WriteOf(1, 1, {{1, 7, 1, 1}, {1, 8, 2, 1}});
  old.tokens = {{1, 10}, {2, 20}};
  old.requests = {{{1, 10, 3}, "old"}};
  ASSERT_TRUE(Write(old).ok());
  LogWrite other = WriteOf(1, 1, {{1, 9, 1, 1}});
  other.shard = kShard + 1;
  ASSERT_TRUE(Write(other).ok());
  LogWrite first = WriteOf(2, 40, {{1, 8, 5, 1}});
  first.begins = true;
  first.tokens = {{2, 21}};
  first.versions_reserved = 77;
  ASSERT_TRUE(Write(first).ok());
  EXPECT_TRUE(Write(WriteOf(2, 41, {{1, 9, 6, 1}})).ok());
  // Late ones change nothing.
  EXPECT_TRUE(Write(first).ok());
  EXPECT_FALSE(Write(WriteOf(2, 39, {{1, 8, 9, 9}})).ok());
  first.sequence = 39;
  EXPECT_FALSE(Write(first).ok());
  first.epoch = 1;
  first.sequence = 99;
  EXPECT_EQ(ReasonOf(Write(first)), ErrorReason::kStaleEpoch);
  EXPECT_EQ(ReadAll(), (std::vector<SlotRecord>{{1, 8, 5, 1}, {1, 9, 6, 1}}));
  EXPECT_TRUE(Read("", 100)->requests.empty());
  const auto end = Seal(3);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->last_sequence, 41u);
  EXPECT_EQ(end->versions_reserved, 77u);
  ASSERT_EQ(end->tokens.size(), 1u);
  EXPECT_EQ(end->tokens[0].token, 21u);
  EXPECT_EQ(ReadAll(100, kShard + 1).size(), 1u);  // of another shard
}

TEST_P(TableLogContract, BadInputIsNamed) {
  const auto expect_field = [](const Status& status, std::string_view field) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
    EXPECT_NE(MessageOf(status).find(field), std::string_view::npos) << status;
    EXPECT_NE(MessageOf(status).find("allowed"), std::string_view::npos) << status;
  };
  LogWrite write = WriteOf(1, 1);
  write.shard = kShardCountMax;
  expect_field(Write(write), "shard");
  expect_field(Write(WriteOf(0, 1)), "epoch");
  expect_field(Write(WriteOf(1, 0)), "sequence");
  expect_field(Write(WriteOf(1, 1, {{0, 7, 1, 1}})), "space");
  expect_field(Write(WriteOf(1, 1, {{1, kSpacePagesMax, 1, 1}})), "offset");
  expect_field(Write(WriteOf(1, 1, std::vector<SlotRecord>(kLogWriteSlotsMax + 1, {1, 1, 1, 1}))),
               "slots");
  write = WriteOf(1, 1);
  write.versions_reserved = kVersionMax + 2;
  expect_field(Write(write), "versions_reserved");
  write = WriteOf(1, 1);
  write.requests = {{{1, 1, 0}, ""}};
  expect_field(Write(write), "request.sequence");
  write.requests = {{{1, 1, 1}, std::string(kRequestResultBytesMax + 1, 'x')}};
  expect_field(Write(write), "request.result");
  expect_field(Seal(0).status(), "epoch");
  expect_field(Seal(1, kShardCountMax).status(), "shard");
  expect_field(Read("", 0).status(), "limit");
  expect_field(Read("", kLogReadSlotsMax + 1).status(), "limit");
  expect_field(Read("abc", 1).status(), "cursor");
  EXPECT_EQ(Seal(1)->last_sequence, 0u);
}

}  // namespace vswap
