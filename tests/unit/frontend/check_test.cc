#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/front_end_setup.h"

namespace vswap {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Check : public testing::Test {
 protected:
  void SetUp() override {
    setup_.Store(client_, {{0, ZeroPage()}, {1, Shrinking(1)}, {2, Noise(2)}, {700, Noise(3)}});
    const MutationResult allocated = setup_.Allocate(space_, 0, 3);
    ASSERT_EQ(allocated.offsets.size(), 3u);
    setup_.Store(space_, {{allocated.offsets[1], Noise(4)}});
    setup_.Duplicate(space_, {{allocated.offsets[1], 2}});
    setup_.Free(client_, {700, 1});
    setup_.Settle();
  }
  CheckReport Run() {
    std::optional<StatusOr<CheckReport>> report;
    setup_.front_end().Check([&](StatusOr<CheckReport> found) { report = std::move(found); });
    for (int i = 0; i < 20 && !report; ++i) {
      setup_.executor.Advance(std::chrono::milliseconds(50));
    }
    EXPECT_TRUE(report.has_value() && report->ok());
    return report && report->ok() ? **report : CheckReport();
  }

  FrontEndSetup setup_;
  FrontEndClient client_ = setup_.Open();
  FrontEndClient space_ = setup_.OpenAllocated();
};

TEST_F(Check, AgreesWithWhatIsThere) {
  const CheckReport report = Run();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.skipped, IsEmpty());
  EXPECT_EQ(report.slots, 6u);
  EXPECT_EQ(report.records, 3u);
  EXPECT_EQ(report.log_slots, setup_.LoggedSlots());
}

TEST_F(Check, AgreesAfterARestart) {
  setup_.Restart();
  setup_.Settle();
  EXPECT_THAT(Run().problems, IsEmpty());
  EXPECT_THAT(Run().problems, IsEmpty());  // marks of an earlier one are no proof
}

TEST_F(Check, FindsARecordThatIsMissing) {
  ASSERT_TRUE(setup_.physical.Drop(setup_.NameAt(client_, 2)));
  const CheckReport report = Run();
  EXPECT_THAT(report.problems, ElementsAre(HasSubstr("slot 2, version")));
  EXPECT_THAT(report.problems, ElementsAre(HasSubstr("the record is missing")));
  // It was only looked at.
  EXPECT_EQ(setup_.EntryAt(client_, 2).word.kind(), Backing::kPhysical);
}

TEST_F(Check, FindsARecordThatNothingNames) {
  PageName name = setup_.NameAt(client_, 2);
  name.offset = 3;
  const OwnedPage page = RawPage(name, /*shrinks=*/false);
  bool kept = false;
  setup_.physical.Put({page.put}, Lane::kBackground, [&](const StatusOr<PutReply>& reply) {
    kept = reply.ok() && reply->pages[0].code == PageCode::kOk;
  });
  setup_.executor.RunReady();
  ASSERT_TRUE(kept);
  EXPECT_THAT(Run().problems, ElementsAre(HasSubstr("no entry names this record")));
}

TEST_F(Check, TheRecordOfALostPageIsNoProblemWhenItIsBack) {
  const PageName name = setup_.NameAt(client_, 2);
  ASSERT_TRUE(setup_.physical.FlipByte(name, 7));
  EXPECT_EQ(setup_.CodeOf(client_, 2), PageCode::kDataLoss);
  setup_.Settle();
  EXPECT_THAT(Run().problems, IsEmpty());
  ASSERT_TRUE(setup_.physical.FlipByte(name, 7));
  EXPECT_THAT(Run().problems, IsEmpty());
  EXPECT_EQ(setup_.LoadOne(client_, 2), Noise(2));
}

TEST_F(Check, FindsALogThatSaysSomethingElse) {
  const Shard& shard = *setup_.front_end().shards()[client_.ShardAt(1)];
  LogEnd end;
  setup_.log.Seal(shard.id(), shard.epoch(),
                  [&](const StatusOr<LogEnd>& reply) { end = reply.value(); });
  LogWrite write;
  write.shard = shard.id();
  write.epoch = shard.epoch();
  write.sequence = end.last_sequence + 1;
  write.slots = {{client_.space(), 1, Word(Backing::kZero, 0, 1).bits(), 1u << 16},
                 {client_.space(), 5, Word(Backing::kZero, 0, 1).bits(), 1u << 16}};
  bool written = false;
  setup_.log.Write(write, [&](const StatusOr<bool>& reply) { written = reply.ok(); });
  ASSERT_TRUE(written);
  const CheckReport report = Run();
  EXPECT_EQ(report.problems_total, 2u);
  EXPECT_THAT(report.problems, ElementsAre(HasSubstr("slot 1: table compressed"),
                                           HasSubstr("table nothing, log zero")));
}

TEST_F(Check, ANodeThatDoesNotAnswerIsNotJudged) {
  setup_.physical.faults().inventory.FailBeforeEffect(1);
  const CheckReport report = Run();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.skipped, ElementsAre(HasSubstr("node store")));
}

TEST_F(Check, ARecordThatIsMissingIsNotOverlookedForWantOfAnAnswer) {
  ASSERT_TRUE(setup_.physical.Drop(setup_.NameAt(client_, 2)));
  setup_.physical.faults().get.FailBeforeEffect(1);
  EXPECT_THAT(Run().problems, ElementsAre(HasSubstr("the record is missing")));
  setup_.physical.faults().get.FailBeforeEffect(100);
  const CheckReport report = Run();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.skipped, ElementsAre(HasSubstr("does not answer for some pages")));
}

TEST_F(Check, OneAtATime) {
  int answers = 0;
  for (int i = 0; i < 2; ++i) {
    setup_.front_end().Check(
        [&](const StatusOr<CheckReport>& report) { answers += report.ok() ? 10 : 1; });
  }
  EXPECT_EQ(answers, 1);
  for (int i = 0; i < 20; ++i) {
    setup_.executor.Advance(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(answers, 11);
}

}  // namespace
}  // namespace vswap
