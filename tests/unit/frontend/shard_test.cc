#include "services/frontend/shard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "services/common/thread_pool.h"
#include "tests/support/await.h"
#include "tests/support/memory_table_log.h"

namespace vswap {
namespace {

constexpr SpaceId kSpace = 1;

// Keeps what was written, and can keep writes back.
class RecordingLog : public TableLog {
 public:
  void Write(LogWrite write, Callback<bool> done) override {
    ++sent;
    if (hold) {
      held.emplace_back(std::move(write), std::move(done));
      return;
    }
    log.Write(write, [this, write, done](StatusOr<bool> answer) {
      if (answer.ok()) {
        writes.push_back(write);
      }
      done(std::move(answer));
    });
  }
  void LetGo() {
    hold = false;
    for (auto& [write, done] : std::exchange(held, {})) {
      Write(std::move(write), std::move(done));
    }
  }
  void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) override {
    log.Seal(shard, epoch, std::move(done));
  }
  void Read(ShardId shard, std::string cursor, uint32_t limit,
            Callback<LogReadReply> done) override {
    log.Read(shard, std::move(cursor), limit, std::move(done));
  }

  MemoryTableLog log;
  std::vector<LogWrite> writes;
  bool hold = false;
  int sent = 0;
  std::vector<std::pair<LogWrite, Callback<bool>>> held;
};

class ShardTest : public testing::Test {
 protected:
  ~ShardTest() override { executor_.DropTasks(); }

  // A new owner's start: the next epoch, the log sealed and read.
  void Start(Version versions_block = 1 << 20) {
    shard_ = std::make_shared<Shard>(
        Shard::Options{.id = 0, .epoch = ++epoch_, .versions_block = versions_block},
        std::vector<TableLog*>{&log_}, executor_);
    const auto end = Await<LogEnd>([&](auto done) { log_.Seal(0, epoch_, done); });
    ASSERT_TRUE(end.ok()) << end.status();
    shard_->Restore(*end);
    std::string cursor;
    do {
      const auto piece = Await<LogReadReply>([&](auto done) { log_.Read(0, cursor, 100, done); });
      for (const SlotRecord& record : piece->slots) {
        ASSERT_TRUE(shard_->Restore(record).ok());
      }
      cursor = piece->next_cursor;
    } while (!cursor.empty());
    Status started = MakeError(StatusCode::kUnknown, "no answer");
    shard_->Start([&](Status status) { started = std::move(status); });
    ASSERT_TRUE(started.ok()) << started;
  }
  Status Raise(Token token) {
    Status raised = MakeError(StatusCode::kUnknown, "no answer");
    shard_->RaiseToken(kSpace, token, [&](Status status) { raised = std::move(status); });
    return raised;
  }
  RequestHeader Header(Sequence sequence, Sequence floor = 1, Token token = 1) {
    RequestHeader header;
    header.space = kSpace;
    header.token = token;
    header.epoch = epoch_;
    header.sequence = sequence;
    header.floor = floor;
    return header;
  }
  // An admitted store and what became of it.
  struct Store {
    std::shared_ptr<Request> request;
    std::vector<BegunSlot> slots;
    std::vector<MutationResult> answers;
    std::vector<Retired> retired;
    bool published = false;
  };
  std::shared_ptr<Store> Admit(const RequestHeader& header, std::vector<Extent> extents) {
    auto store = std::make_shared<Store>();
    store->request = shard_->AdmitStore(
        header, extents, SpaceKind::kDevice, &store->slots,
        // Weak: the request holds it until it is finished, and some tests finish none.
        [weak = std::weak_ptr(store)](const MutationResult& answer) {
          if (const auto answered = weak.lock()) {
            answered->answers.push_back(answer);
          }
        });
    return store;
  }
  Status Enqueue(const std::shared_ptr<Store>& store, Token token = 1) {
    std::vector<SlotRecord> records;
    for (const BegunSlot& slot : store->slots) {
      records.push_back({kSpace, slot.offset, Word(Backing::kCompressed, 1, slot.version).bits(),
                         Companion::Stored(100).bits()});
    }
    return shard_->Enqueue(kSpace, token, records,
                           [this, store](const Status& status, std::vector<Retired> retired) {
                             store->published = true;
                             store->retired = std::move(retired);
                             shard_->Finish(store->request, {status, {PageCode::kOk}, 0, {}});
                           });
  }
  ErrorReason Refusal(const Store& store) {
    EXPECT_EQ(store.request, nullptr);
    EXPECT_EQ(store.answers.size(), 1u);
    return store.answers.empty() ? ErrorReason::kNone : ReasonOf(store.answers[0].status);
  }
  Word WordAt(Offset offset) { return shard_->Lookup(kSpace, offset).word; }

  ManualExecutor executor_;
  RecordingLog log_;
  Epoch epoch_ = 0;
  std::shared_ptr<Shard> shard_;
};

TEST_F(ShardTest, ARequestNeedsTheOwnersEpochAndTheSpacesToken) {
  Start();
  EXPECT_EQ(Admit(Header(1), {{0, 1}})->answers[0].status.code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(Raise(5).ok());
  EXPECT_EQ(Refusal(*Admit(Header(1, 1, 4), {{0, 1}})), ErrorReason::kFenced);
  EXPECT_EQ(Admit(Header(1, 1, 6), {{0, 1}})->answers[0].status.code(),
            StatusCode::kInvalidArgument);
  RequestHeader header = Header(1, 1, 5);
  header.epoch = epoch_ + 1;
  EXPECT_EQ(Refusal(*Admit(header, {{0, 1}})), ErrorReason::kStaleEpoch);
  EXPECT_EQ(ReasonOf(shard_->CheckRead(header)), ErrorReason::kStaleEpoch);
  EXPECT_TRUE(shard_->CheckRead(Header(1, 1, 5)).ok());
  EXPECT_NE(Admit(Header(1, 1, 5), {{0, 1}})->request, nullptr);
  EXPECT_EQ(ReasonOf(Raise(4)), ErrorReason::kFenced);
  EXPECT_TRUE(Raise(5).ok());  // a retry
}

TEST_F(ShardTest, ATokenFencesAtOnceAndOutlivesTheOwner) {
  Start();
  ASSERT_TRUE(Raise(1).ok());
  const auto store = Admit(Header(1), {{0, 1}});
  log_.hold = true;
  shard_->RaiseToken(kSpace, 2, [](const Status&) {});
  EXPECT_EQ(ReasonOf(Enqueue(store)), ErrorReason::kFenced);  // before the raise is logged
  shard_->Abandon(kSpace, store->slots);
  log_.LetGo();
  Start();
  EXPECT_EQ(ReasonOf(shard_->CheckRead(Header(1, 1, 1))), ErrorReason::kFenced);
  EXPECT_TRUE(shard_->CheckRead(Header(1, 1, 2)).ok());
}

TEST_F(ShardTest, TheWindowAnswersDuplicatesFromMemory) {
  Start();
  ASSERT_TRUE(Raise(1).ok());
  const auto first = Admit(Header(1), {{0, 2}});
  const auto early = Admit(Header(1), {{0, 2}});  // while it runs
  EXPECT_EQ(early->request, nullptr);
  EXPECT_TRUE(early->answers.empty());
  ASSERT_TRUE(Enqueue(first).ok());
  const auto late = Admit(Header(1), {{0, 2}});
  const Word word = WordAt(0);
  for (const auto& store : {first, early, late}) {
    ASSERT_EQ(store->answers.size(), 1u);
    EXPECT_TRUE(store->answers[0].status.ok());
    EXPECT_EQ(store->answers[0].codes, std::vector<PageCode>{PageCode::kOk});
  }
  EXPECT_EQ(WordAt(0), word);
  EXPECT_TRUE(shard_->Idle());
}

TEST_F(ShardTest, DuplicatesThatWaitAreBounded) {
  Start();
  ASSERT_TRUE(Raise(1).ok());
  const auto first = Admit(Header(1), {{0, 1}});
  for (size_t i = 1; i < RequestWindows::kDuplicatesMax; ++i) {
    EXPECT_TRUE(Admit(Header(1), {{0, 1}})->answers.empty());
  }
  const auto refused = Admit(Header(1), {{0, 1}});
  ASSERT_EQ(refused->answers.size(), 1u);
  EXPECT_EQ(Refusal(*refused), ErrorReason::kNotServing);
}

TEST_F(ShardTest, WhatIsBelowTheFloorOrOlderOnTheSlotIsSuperseded) {
  Start();
  ASSERT_TRUE(Raise(1).ok());
  ASSERT_TRUE(Enqueue(Admit(Header(5, 3), {{10, 4}})).ok());
  EXPECT_EQ(Refusal(*Admit(Header(2, 1), {{0, 1}})), ErrorReason::kSuperseded);
  EXPECT_EQ(Refusal(*Admit(Header(4, 3), {{8, 3}})), ErrorReason::kSuperseded);
  EXPECT_EQ(Refusal(*Admit(Header(4, 3), {{13, 1}})), ErrorReason::kSuperseded);
  EXPECT_NE(Admit(Header(4, 3), {{8, 2}, {14, 1}})->request, nullptr);
  EXPECT_NE(Admit(Header(6, 3), {{8, 8}})->request, nullptr);
  // A duplicate that fell out of the window is not run again.
  EXPECT_NE(Admit(Header(7, 6), {{100, 1}})->request, nullptr);
  EXPECT_EQ(Refusal(*Admit(Header(5, 3), {{10, 4}})), ErrorReason::kSuperseded);
}

TEST_F(ShardTest, ExtentsInAnyOrderAreComparedWithThoseOfLaterRequests) {
  Start();
  ASSERT_TRUE(Raise(1).ok());
  ASSERT_TRUE(Enqueue(Admit(Header(9, 3), {{300, 2}, {100, 1}, {200, 5}})).ok());
  EXPECT_EQ(Refusal(*Admit(Header(4, 3), {{204, 1}})), ErrorReason::kSuperseded);
  EXPECT_EQ(Refusal(*Admit(Header(4, 3), {{301, 1}, {50, 10}})), ErrorReason::kSuperseded);
  EXPECT_EQ(Refusal(*Admit(Header(4, 3), {{400, 1}, {90, 11}, {0, 1}})), ErrorReason::kSuperseded);
  EXPECT_NE(Admit(Header(4, 3), {{302, 9}, {101, 99}, {205, 95}, {0, 100}})->request, nullptr);
}

TEST_F(ShardTest, TheSpanOfSequencesIsBounded) {
  Start();
  ASSERT_TRUE(Raise(1).ok());
  EXPECT_NE(Admit(Header(Shard::kSequenceSpanMax, 1), {{0, 1}})->request, nullptr);
  const auto refused = Admit(Header(Shard::kSequenceSpanMax + 1, 1), {{0, 1}});
  ASSERT_EQ(refused->answers.size(), 1u);
  EXPECT_EQ(MessageOf(refused->answers[0].status),
            "sequence is 16385, allowed: less than 16384 above sequence_floor (1)");
}

TEST_F(ShardTest, AnUndecidedWriteReleasesNothingAndIsSentUntilItIsAccepted) {
  Start();
  ASSERT_TRUE(Raise(1).ok());
  ASSERT_TRUE(Enqueue(Admit(Header(1), {{0, 1}})).ok());
  const Word old = WordAt(0);
  log_.log.faults().FailBeforeEffect(1);
  log_.log.faults().FailAfterEffect(1);
  const auto store = Admit(Header(2), {{0, 1}});
  const int sent = log_.sent;
  ASSERT_TRUE(Enqueue(store).ok());
  EXPECT_FALSE(store->published);
  EXPECT_EQ(WordAt(0), old);
  executor_.Advance(std::chrono::milliseconds(5));  // took effect, the answer was lost
  EXPECT_FALSE(store->published);
  EXPECT_EQ(WordAt(0), old);
  EXPECT_FALSE(shard_->Idle());
  executor_.Advance(std::chrono::milliseconds(10));
  EXPECT_EQ(log_.sent, sent + 3);
  ASSERT_TRUE(store->published);
  EXPECT_EQ(WordAt(0).version(), store->slots[0].version);
  ASSERT_EQ(store->retired.size(), 1u);
  EXPECT_EQ(store->retired[0].name.version, old.version());
  EXPECT_TRUE(shard_->Idle());
}

// Whatever the order in which stores to one slot come back from the nodes, the log and the table
// agree.
TEST_F(ShardTest, TheLogsOrderIsTheTablesOrderAndVersionsOnlyGrow) {
  SeededRandom random(3);
  Start();
  ASSERT_TRUE(Raise(1).ok());
  std::vector<std::shared_ptr<Store>> begun;
  std::map<Offset, Version> newest;
  for (Sequence sequence = 1; sequence <= 2000; ++sequence) {
    const Offset offset = random.Below(4);
    begun.push_back(Admit(Header(sequence, 1), {{offset, 2}}));
    ASSERT_NE(begun.back()->request, nullptr);
    for (const BegunSlot& slot : begun.back()->slots) {
      EXPECT_GT(slot.version, newest[slot.offset]);
      newest[slot.offset] = slot.version;
    }
    log_.hold = random.Below(2) == 0;
    if (!log_.hold) {
      log_.LetGo();
    }
    while (begun.size() > random.Below(6)) {
      const size_t i = random.Below(begun.size());
      ASSERT_TRUE(Enqueue(begun[i]).ok());
      begun.erase(begun.begin() + static_cast<ptrdiff_t>(i));
    }
  }
  for (const auto& store : begun) {
    ASSERT_TRUE(Enqueue(store).ok());
  }
  log_.LetGo();
  EXPECT_TRUE(shard_->Idle());
  EXPECT_GT(shard_->overtaken_total(), 0u);
  std::map<Offset, Version> logged;
  for (const LogWrite& write : log_.writes) {
    for (const SlotRecord& record : write.slots) {
      EXPECT_GE(Word(record.word).version(), logged[record.offset]);
      logged[record.offset] = Word(record.word).version();
    }
  }
  EXPECT_EQ(logged, newest);
  for (const auto& [offset, version] : newest) {
    EXPECT_EQ(WordAt(offset).version(), version);
  }
}

TEST_F(ShardTest, VersionsAreReservedBeforeUseAndNeverIssuedAgain) {
  Start(/*versions_block=*/16);
  ASSERT_TRUE(Raise(1).ok());
  Version last = 0;
  Sequence sequence = 0;
  for (int owner = 0; owner < 5; ++owner) {
    for (int i = 0; i < 20; ++i) {
      ++sequence;
      const auto store = Admit(Header(sequence, sequence), {{0, 3}});
      ASSERT_NE(store->request, nullptr) << store->answers[0].status;
      for (const BegunSlot& slot : store->slots) {
        EXPECT_GT(slot.version, last);
        last = slot.version;
      }
      if (i != 19) {
        ASSERT_TRUE(Enqueue(store).ok());
      }
      Version reserved = 0;
      for (const LogWrite& write : log_.writes) {
        reserved = std::max(reserved, write.versions_reserved);
      }
      EXPECT_LT(last, reserved);
    }
    executor_.DropTasks();
    Start(16);  // the last store's versions were used by nobody, but issued
    EXPECT_GT(shard_->next_version(), last);
  }
}

TEST_F(ShardTest, AShardThatRanOutOfVersionsAsksForMore) {
  Start(/*versions_block=*/16);
  ASSERT_TRUE(Raise(1).ok());
  log_.hold = true;
  while (shard_->IssueVersions(4).has_value()) {
  }
  EXPECT_EQ(Refusal(*Admit(Header(1), {{0, 8}})), ErrorReason::kNotServing);
  log_.LetGo();
  EXPECT_NE(Admit(Header(1), {{0, 8}})->request, nullptr);
}

// Frees of a whole stripe may stand in the queue by the dozen; a write beyond the log's limit would
// be refused for ever.
TEST_F(ShardTest, AWriteNeverHoldsMoreThanTheLogTakes) {
  Start();
  ASSERT_TRUE(Raise(1).ok());
  for (Sequence sequence = 1; sequence <= 8; ++sequence) {
    ASSERT_TRUE(Enqueue(Admit(Header(sequence), {{(sequence - 1) * 10000, 10000}})).ok());
  }
  log_.hold = true;
  ASSERT_TRUE(Enqueue(Admit(Header(9), {{90000, 1}})).ok());  // keeps the log busy
  int answered = 0;
  for (Sequence sequence = 10; sequence < 18; ++sequence) {
    std::vector<BegunSlot> slots;
    const std::vector<Extent> extents = {{(sequence - 10) * 10000, 10000}};
    const auto request = shard_->AdmitFree(Header(sequence), extents, SpaceKind::kDevice, &slots,
                                           [&](const MutationResult&) { ++answered; });
    std::vector<SlotRecord> records;
    for (const BegunSlot& slot : slots) {
      records.push_back({kSpace, slot.offset, Word(Backing::kNone, 0, slot.version).bits(), 0});
    }
    ASSERT_TRUE(shard_
                    ->Enqueue(kSpace, 1, records,
                              [this, request](const Status& status, const std::vector<Retired>&) {
                                shard_->Finish(request, {status, {}, 0, {}});
                              })
                    .ok());
  }
  log_.LetGo();
  EXPECT_EQ(answered, 8);
  EXPECT_TRUE(shard_->Idle());
  for (const LogWrite& write : log_.writes) {
    EXPECT_LE(write.slots.size(), 65536u);
    EXPECT_LE(write.purges.size(), 65536u);
  }
  const auto left = Await<LogReadReply>([&](auto done) { log_.Read(0, "", 100, done); });
  EXPECT_EQ(left->slots.size(), 1u);  // every none word was purged
}

TEST_F(ShardTest, AStaleEpochStopsTheShardAndEverybodyGetsAnAnswer) {
  Start();
  ASSERT_TRUE(Raise(1).ok());
  ASSERT_TRUE(Enqueue(Admit(Header(1), {{0, 1}})).ok());
  const Word old = WordAt(0);
  const auto pending = Admit(Header(2), {{5, 1}});
  log_.hold = true;
  const auto first = Admit(Header(3), {{0, 1}});
  const auto second = Admit(Header(4), {{0, 1}});
  ASSERT_TRUE(Enqueue(first).ok());
  ASSERT_TRUE(Enqueue(second).ok());
  Await<LogEnd>([&](auto done) { log_.Seal(0, epoch_ + 1, done); }).IgnoreError();
  log_.LetGo();
  for (const auto& store : {first, second}) {
    ASSERT_EQ(store->answers.size(), 1u);
    EXPECT_EQ(ReasonOf(store->answers[0].status), ErrorReason::kNotServing);
    EXPECT_TRUE(store->retired.empty());
  }
  EXPECT_EQ(WordAt(0), old);
  EXPECT_EQ(ReasonOf(Enqueue(pending)), ErrorReason::kNotServing);
  EXPECT_EQ(Refusal(*Admit(Header(5), {{0, 1}})), ErrorReason::kNotServing);
  EXPECT_EQ(ReasonOf(Raise(2)), ErrorReason::kNotServing);
  Status proof;
  shard_->Barrier([&](Status status) { proof = std::move(status); });
  EXPECT_EQ(ReasonOf(proof), ErrorReason::kNotServing);
  EXPECT_TRUE(shard_->Idle());
}

TEST_F(ShardTest, AConditionalChangeNeedsTheWholeWordAndAQuietSlot) {
  Start();
  ASSERT_TRUE(Raise(1).ok());
  ASSERT_TRUE(Enqueue(Admit(Header(1), {{0, 3}})).ok());
  const Version version = *shard_->IssueVersions(3);
  const auto move = [&](Offset offset, Word expected, Version to) {
    return Shard::Conditional{
        expected,
        {kSpace, offset, Word(Backing::kPhysical, 2, to).bits(), Companion::Stored(50).bits()}};
  };
  const auto busy = Admit(Header(2), {{1, 1}});
  std::vector<Retired> retired;
  const std::vector<bool> moved = shard_->EnqueueIfUnchanged(
      {move(0, WordAt(0), version), move(1, WordAt(1), version + 1),
       move(2, Word(Backing::kCompressed, 2, WordAt(2).version()), version + 2)},
      [&](const Status& status, std::vector<Retired> gone) {
        EXPECT_TRUE(status.ok());
        retired = std::move(gone);
      });
  EXPECT_EQ(moved, (std::vector<bool>{true, false, false}));
  EXPECT_EQ(WordAt(0), Word(Backing::kPhysical, 2, version));
  ASSERT_EQ(retired.size(), 1u);
  EXPECT_EQ(retired[0].name.offset, 0u);
  ASSERT_TRUE(Enqueue(busy).ok());
  EXPECT_TRUE(shard_->Idle());
}

// Whether a record may still come to be named, of a node that keeps set 1 or none.
class ShardNames : public ShardTest {
 protected:
  ShardNames() {
    Start();
    EXPECT_TRUE(Raise(1).ok());
  }
  bool May(Offset offset, Version version, SetId kept = 1) {
    return shard_->MayBeNamed({kSpace, offset, version}, [kept](SetId set) { return set == kept; });
  }
};

TEST_F(ShardNames, WhatAStorePutsFromItsBeginUntilItIsReplaced) {
  const auto store = Admit(Header(1), {{0, 1}});
  const Version version = store->slots[0].version;
  EXPECT_TRUE(May(0, version));
  EXPECT_TRUE(May(0, version, 2));   // it may go to another set yet
  EXPECT_TRUE(May(5, version + 1));  // not issued
  log_.hold = true;
  ASSERT_TRUE(Enqueue(store).ok());
  EXPECT_TRUE(May(0, version));
  log_.LetGo();
  EXPECT_TRUE(May(0, version));
  EXPECT_FALSE(May(0, version, 2));  // what is there is a leftover
  EXPECT_FALSE(May(5, version));
  const auto next = Admit(Header(2), {{0, 1}});
  log_.hold = true;
  ASSERT_TRUE(Enqueue(next).ok());
  EXPECT_TRUE(May(0, version));  // undecided: either may be the slot's
  EXPECT_TRUE(May(0, next->slots[0].version));
  log_.LetGo();
  EXPECT_FALSE(May(0, version));
  EXPECT_TRUE(May(0, next->slots[0].version));
}

TEST_F(ShardNames, NothingOfAStoreThatWasAbandonedOrOvertaken) {
  const auto abandoned = Admit(Header(1), {{0, 1}});
  shard_->Abandon(kSpace, abandoned->slots);
  EXPECT_FALSE(May(0, abandoned->slots[0].version));
  const auto first = Admit(Header(2), {{3, 1}});
  const auto second = Admit(Header(3), {{3, 1}});
  ASSERT_TRUE(Enqueue(second).ok());
  EXPECT_TRUE(May(3, first->slots[0].version));  // it has not ended
  ASSERT_TRUE(Enqueue(first).ok());
  EXPECT_FALSE(May(3, first->slots[0].version));
  EXPECT_TRUE(May(3, second->slots[0].version));
}

TEST_F(ShardNames, WhatAMovePutsUntilItsVersionsEnd) {
  ASSERT_TRUE(Enqueue(Admit(Header(1), {{0, 2}})).ok());
  const Version first = *shard_->IssueVersions(3);
  const Version other = *shard_->IssueVersions(2);
  for (const Version version : {first, first + 1, first + 2, other, other + 1}) {
    EXPECT_TRUE(May(0, version)) << version - first;
  }
  log_.hold = true;
  const std::vector<bool> enqueued = shard_->EnqueueIfUnchanged(
      {{WordAt(0),
        {kSpace, 0, Word(Backing::kPhysical, 1, first).bits(), Companion::Stored(50).bits()}},
       {Word(), {kSpace, 1, Word(Backing::kPhysical, 1, first + 1).bits(), 0}}},
      [](const Status&, const std::vector<Retired>&) {});
  EXPECT_EQ(enqueued, (std::vector<bool>{true, false}));
  shard_->EndVersions(first);
  EXPECT_TRUE(May(0, first));  // in the queue
  EXPECT_FALSE(May(1, first + 1));
  EXPECT_FALSE(May(1, first + 2));
  EXPECT_TRUE(May(1, other));
  EXPECT_TRUE(May(1, other + 1));
  EXPECT_TRUE(May(1, other + 2));  // not issued
  log_.LetGo();
  EXPECT_TRUE(May(0, first));
  shard_->EndVersions(other);
  EXPECT_FALSE(May(1, other));
}

TEST_F(ShardTest, ADamagedLogIsNotServedFrom) {
  Start();
  EXPECT_EQ(shard_->Restore(SlotRecord{kSpace, 1, uint64_t{7} << 61 | 1, 0}).code(),
            StatusCode::kDataLoss);
  EXPECT_EQ(shard_
                ->Restore(SlotRecord{kSpace, 1,
                                     Word(Backing::kZero, 0, shard_->next_version() + 5).bits(), 0})
                .code(),
            StatusCode::kDataLoss);
}

TEST_F(ShardTest, AReplicaThatComesAgainDuringAWriteIsNotFilledByIt) {
  Start();
  ASSERT_TRUE(Raise(1).ok());
  const auto store = Admit(Header(1), {{5, 1}});
  ASSERT_TRUE(Enqueue(store).ok());
  log_.hold = true;
  RecordingLog second;
  second.hold = true;
  shard_->AddReplica(&second);
  ASSERT_EQ(second.held.size(), 1u);  // the first piece
  shard_->RemoveReplica(&second);
  second.held.clear();
  shard_->AddReplica(&second);
  log_.LetGo();
  ASSERT_EQ(shard_->Logs().size(), 2u);
  EXPECT_FALSE(shard_->Logs()[1].filled);
  ASSERT_EQ(second.held.size(), 1u);
  EXPECT_TRUE(second.held[0].first.begins);
  second.LetGo();
  EXPECT_TRUE(shard_->Logs()[1].filled);
  shard_->Discard();
}

TEST_F(ShardTest, WhatIsFencedBeforeItStartsSaysSo) {
  shard_ = std::make_shared<Shard>(Shard::Options{.id = 0, .epoch = 1},
                                   std::vector<TableLog*>{&log_}, executor_);
  shard_->Fence(MakeError(ErrorReason::kStaleEpoch, "another one owns it"));
  Status started = MakeError(StatusCode::kUnknown, "no answer");
  shard_->Start([&](Status status) { started = std::move(status); });
  EXPECT_EQ(ReasonOf(started), ErrorReason::kNotServing) << started;
  EXPECT_TRUE(shard_->failed());
  EXPECT_EQ(log_.sent, 0);
}

// The write is decided and the shard fenced by two threads at once.
TEST_F(ShardTest, WhoWaitsIsToldOnce) {
  for (int round = 0; round < 2000; ++round) {
    Start();
    log_.hold = true;
    std::atomic<int> told{0};
    shard_->Barrier([&](const Status&) { ++told; });
    ASSERT_EQ(log_.held.size(), 1u);
    std::atomic<int> ready{0};
    const auto meet = [&] {
      ++ready;
      while (ready < 2) {
      }
    };
    std::thread other([&] {
      meet();
      shard_->Fence(MakeError(ErrorReason::kStaleEpoch, "another one owns it"));
    });
    meet();
    log_.LetGo();
    other.join();
    ASSERT_EQ(told, 1);
  }
}

}  // namespace
}  // namespace vswap
