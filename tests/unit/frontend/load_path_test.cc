#include "services/frontend/load_path.h"

#include "tests/support/front_end_setup.h"

namespace vswap {
namespace {

TEST(LoadPath, WhatWasNeverStoredIsZero) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  const LoadReply reply = setup.Load(client, {{0, 3}, {900, 2}});
  ASSERT_EQ(reply.pages.size(), 5u);
  for (const PageOut& page : reply.pages) {
    EXPECT_EQ(page.code, PageCode::kOk);
    EXPECT_EQ(page.encoding, Encoding::kZero);
    EXPECT_EQ(page.bytes.size(), 0u);
  }
}

TEST(LoadPath, ABatchAnswersInTheOrderAsked) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Noise(2)}, {3, ZeroPage()}, {4, Shrinking(4)}});
  const LoadReply reply = setup.Load(client, {{4, 2}, {1, 3}});
  ASSERT_EQ(reply.pages.size(), 5u);
  EXPECT_EQ(client.Plain(4, reply.pages[0]), Shrinking(4));
  EXPECT_EQ(client.Plain(5, reply.pages[1]), ZeroPage());
  EXPECT_EQ(client.Plain(1, reply.pages[2]), Shrinking(1));
  EXPECT_EQ(client.Plain(2, reply.pages[3]), Noise(2));
  EXPECT_EQ(client.Plain(3, reply.pages[4]), ZeroPage());
}

// Two readers' requests in one batch may ask for the same page.
TEST(LoadPath, ASlotAskedForTwiceIsAnsweredTwice) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Noise(2)}});
  const LoadReply reply = setup.Load(client, {{1, 2}, {1, 1}, {0, 3}});
  ASSERT_EQ(reply.pages.size(), 6u);
  EXPECT_EQ(client.Plain(1, reply.pages[0]), Shrinking(1));
  EXPECT_EQ(client.Plain(2, reply.pages[1]), Noise(2));
  EXPECT_EQ(client.Plain(1, reply.pages[2]), Shrinking(1));
  EXPECT_EQ(client.Plain(0, reply.pages[3]), ZeroPage());
  EXPECT_EQ(client.Plain(1, reply.pages[4]), Shrinking(1));
  EXPECT_EQ(client.Plain(2, reply.pages[5]), Noise(2));
}

TEST(LoadPath, ADamagedRecordLosesExactlyItsPage) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Shrinking(2)}, {3, Noise(3)}});
  const PageName name = setup.NameAt(client, 2);
  ASSERT_TRUE(setup.compressed.FlipByte(name, 10));
  const LoadReply reply = setup.Load(client, {{1, 3}});
  EXPECT_EQ(client.Plain(1, reply.pages[0]), Shrinking(1));
  EXPECT_EQ(reply.pages[1].code, PageCode::kDataLoss);
  EXPECT_EQ(client.Plain(3, reply.pages[2]), Noise(3));
  // It is marked, keeps its version, is counted, and stays lost until stored to.
  EXPECT_EQ(setup.EntryAt(client, 2).word, Word(Backing::kLost, 1, name.version));
  EXPECT_EQ(setup.front_end().Counts()[client.space()].lost_pages, 1u);
  EXPECT_EQ(setup.CodeOf(client, 2), PageCode::kDataLoss);
  EXPECT_EQ(setup.front_end().counters().loads_data_loss, 2u);
  EXPECT_EQ(setup.front_end().counters().pages_marked_lost, 1u);
  ASSERT_EQ(setup.StoreOne(client, 2, Shrinking(2, 2)), PageCode::kOk);
  EXPECT_EQ(setup.LoadOne(client, 2), Shrinking(2, 2));
  EXPECT_EQ(setup.compressed.Names().size(), 2u);  // the damaged record went
}

TEST(LoadPath, AFreedLostPageIsZeroAgain) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.StoreOne(client, 1, Shrinking(1));
  setup.compressed.FlipByte(setup.NameAt(client, 1), 0);
  EXPECT_EQ(setup.CodeOf(client, 1), PageCode::kDataLoss);
  EXPECT_EQ(setup.Free(client, {1, 1}).freed_pages, 1u);
  EXPECT_EQ(setup.LoadOne(client, 1), ZeroPage());
  EXPECT_TRUE(setup.compressed.Names().empty());
}

TEST(LoadPath, ALostPageIsRevivedWhenItsCopyReturns) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.StoreOne(client, 1, Shrinking(1));
  const PageName name = setup.NameAt(client, 1);
  const Word before = setup.EntryAt(client, 1).word;
  ASSERT_TRUE(setup.compressed.FlipByte(name, 0));
  EXPECT_EQ(setup.CodeOf(client, 1), PageCode::kDataLoss);
  setup.Restart();  // the mark is in the log
  client = setup.Open();
  EXPECT_EQ(setup.EntryAt(client, 1).word.kind(), Backing::kLost);
  EXPECT_EQ(setup.CodeOf(client, 1), PageCode::kDataLoss);
  ASSERT_TRUE(setup.compressed.FlipByte(name, 0));
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1));
  EXPECT_EQ(setup.EntryAt(client, 1).word, before);
  EXPECT_EQ(setup.front_end().counters().pages_revived, 1u);
}

TEST(LoadPath, NoLossIsSaidBeforeTheLogHasProvedTheShardIsOurs) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.StoreOne(client, 1, Shrinking(1));
  setup.compressed.Drop(setup.NameAt(client, 1));
  setup.log.faults().FailBeforeEffect(2);
  const auto result = setup.BeginLoad({client.Next(1), {{1, 1}}});
  EXPECT_FALSE(result->has_value());
  setup.executor.Advance(std::chrono::seconds(1));
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ((*result)->pages[0].code, PageCode::kDataLoss);
}

TEST(LoadPath, ALoadWhoseRecordWasReplacedMeanwhileLooksAgain) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.StoreOne(client, 1, Shrinking(1));
  setup.held_compressed.Hold(HeldNode::kGet);
  const auto result = setup.BeginLoad({client.Next(1), {{1, 1}}});
  ASSERT_EQ(setup.StoreOne(client, 1, Shrinking(1, 2)), PageCode::kOk);
  setup.held_compressed.LetGo();
  setup.executor.RunReady();
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ(client.Plain(1, (*result)->pages[0]), Shrinking(1, 2));
  EXPECT_EQ(setup.front_end().counters().load_retries, 1u);
}

TEST(LoadPath, AnotherIncarnationIsNotBelieved) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Noise(2)}});
  setup.compressed.Drop(setup.NameAt(client, 1));
  setup.compressed.SetIncarnation(99);
  const LoadReply reply = setup.Load(client, {{1, 2}});
  EXPECT_EQ(reply.pages[0].code, PageCode::kUnavailable);
  EXPECT_EQ(client.Plain(2, reply.pages[1]), Noise(2));
  EXPECT_EQ(setup.EntryAt(client, 1).word.kind(), Backing::kCompressed);
  EXPECT_EQ(setup.front_end().counters().loads_unavailable, 1u);
}

TEST(LoadPath, ANodeThatDoesNotAnswerMakesItsPagesUnavailableAndNotLost) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Noise(2)}, {3, ZeroPage()}});
  setup.compressed.faults().get.FailBeforeEffect(1);
  const LoadReply reply = setup.Load(client, {{1, 3}});
  EXPECT_EQ(reply.pages[0].code, PageCode::kUnavailable);
  EXPECT_EQ(client.Plain(2, reply.pages[1]), Noise(2));
  EXPECT_EQ(client.Plain(3, reply.pages[2]), ZeroPage());
  EXPECT_EQ(setup.LoadOne(client, 1), Shrinking(1));
}

TEST(LoadPath, AFencedClientGetsNoData) {
  FrontEndSetup setup;
  FrontEndClient old = setup.Open();
  setup.StoreOne(old, 1, Shrinking(1));
  setup.held_compressed.Hold(HeldNode::kGet);
  const auto late = setup.BeginLoad({old.Next(1), {{1, 1}}});
  setup.Open();
  setup.held_compressed.LetGo();
  setup.executor.RunReady();
  ASSERT_TRUE(late->has_value());
  EXPECT_EQ(ReasonOf((*late)->status), ErrorReason::kFenced);
  EXPECT_TRUE((*late)->pages.empty());
  EXPECT_EQ(ReasonOf(setup.Load(old, {{1, 1}}).status), ErrorReason::kFenced);
}

TEST(LoadPath, PrefetchReadsPhysicalPagesOnly) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.Store(client, {{1, Shrinking(1)}, {2, Noise(2)}, {3, ZeroPage()}});
  setup.held_compressed.Hold(HeldNode::kGet);
  setup.held_physical.Hold(HeldNode::kGet);
  Status answer = MakeError(StatusCode::kUnknown, "no answer");
  setup.front_end().Prefetch({client.Next(1), {{0, 8}, {2, 1}}},
                             [&](Status status) { answer = std::move(status); });
  EXPECT_TRUE(answer.ok()) << answer;
  EXPECT_EQ(setup.held_compressed.held(), 0u);
  EXPECT_EQ(setup.held_physical.held(), 1u);
  EXPECT_EQ(setup.front_end().counters().prefetched, 1u);
}

}  // namespace
}  // namespace vswap
