#include "client/outbox.h"

#include <gtest/gtest.h>

namespace vswap::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr TimePoint kStart{seconds(1000)};

class OutboxTest : public testing::Test {
 protected:
  RequestPtr Add(Sequence sequence, size_t bytes = 4096) {
    auto request = std::make_shared<Request>();
    request->sequence = sequence;
    request->bytes = bytes;
    request->patience = seconds(60);
    outbox_.Add(request, kStart);
    return request;
  }
  Sequence Take(TimePoint now = kStart) {
    const RequestPtr request = outbox_.TakeNext(now);
    return request ? request->sequence : 0;
  }
  Outbox outbox_{Outbox::Limits{.requests_max = 3, .bytes_max = 16384}};
};

TEST_F(OutboxTest, SendsLowestSequenceFirst) {
  Add(2);
  Add(1);
  EXPECT_EQ(Take(), 1u);
  EXPECT_EQ(Take(), 2u);
  EXPECT_EQ(Take(), 0u);
}

TEST_F(OutboxTest, StopsAtTheNumberOfRequests) {
  for (Sequence i = 1; i <= 4; ++i) {
    Add(i, 0);
  }
  EXPECT_EQ(Take(), 1u);
  EXPECT_EQ(Take(), 2u);
  EXPECT_EQ(Take(), 3u);
  EXPECT_EQ(Take(), 0u);
  outbox_.Remove(outbox_.Find(2));
  EXPECT_EQ(Take(), 4u);
}

TEST_F(OutboxTest, StopsAtTheBytesButSendsWhatIsLargerAlone) {
  Add(1, 20000);
  Add(2, 1);
  EXPECT_EQ(Take(), 1u);
  EXPECT_EQ(Take(), 0u);
  outbox_.Remove(outbox_.Find(1));
  EXPECT_EQ(Take(), 2u);
}

TEST_F(OutboxTest, ABreakSendsEverythingAgainInOrder) {
  for (Sequence i = 1; i <= 3; ++i) {
    Add(i);
    Take();
  }
  outbox_.Remove(outbox_.Find(2));
  outbox_.PutAllBack();
  EXPECT_EQ(outbox_.Find(1), nullptr);
  EXPECT_EQ(Take(), 1u);
  EXPECT_EQ(Take(), 3u);
  EXPECT_EQ(Take(), 0u);
}

TEST_F(OutboxTest, WhatIsPutBackWaitsLongerEachTime) {
  const RequestPtr request = Add(1);
  Duration last{};
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(Take(std::max(kStart, request->not_before)), 1u);
    const TimePoint now = kStart + seconds(i);
    outbox_.PutBack(request, now);
    const Duration pause = request->not_before - now;
    EXPECT_GE(pause, last);
    EXPECT_LE(pause, milliseconds(500));
    EXPECT_EQ(Take(now), 0u);
    last = pause;
  }
  EXPECT_EQ(last, milliseconds(500));
}

TEST_F(OutboxTest, ADelayedRequestDoesNotHoldUpOthers) {
  Add(1)->not_before = kStart + seconds(1);
  Add(2);
  EXPECT_EQ(Take(), 2u);
}

TEST_F(OutboxTest, SilenceNeedsSomethingInFlight) {
  EXPECT_FALSE(outbox_.Silent(kStart + seconds(100)));
  Add(1);
  EXPECT_FALSE(outbox_.Silent(kStart + seconds(100)));
  Take(kStart + seconds(100));
  EXPECT_FALSE(outbox_.Silent(kStart + seconds(109)));
  EXPECT_TRUE(outbox_.Silent(kStart + seconds(111)));
  outbox_.NoteAnswer(kStart + seconds(110));
  EXPECT_FALSE(outbox_.Silent(kStart + seconds(119)));
}

TEST_F(OutboxTest, OneForgottenRequestIsSilenceInTheEnd) {
  Add(1);
  Take(kStart);
  for (int i = 0; i <= 31; ++i) {
    outbox_.NoteAnswer(kStart + seconds(i));
  }
  EXPECT_FALSE(outbox_.Silent(kStart + seconds(30)));
  EXPECT_TRUE(outbox_.Silent(kStart + seconds(31)));
}

TEST_F(OutboxTest, PatienceCountsFromTheFirstSending) {
  Add(1);
  Take(kStart + seconds(30));
  outbox_.PutAllBack();
  Take(kStart + seconds(80));
  EXPECT_TRUE(outbox_.TakeExpired(kStart + seconds(90)).empty());
  EXPECT_EQ(outbox_.TakeExpired(kStart + seconds(91)).size(), 1u);
  EXPECT_TRUE(outbox_.empty());
}

TEST_F(OutboxTest, TheQueueIsPatientWhileOthersAreAnswered) {
  Add(1);
  outbox_.NoteAnswer(kStart + seconds(50));
  EXPECT_TRUE(outbox_.TakeExpired(kStart + seconds(61)).empty());
  EXPECT_EQ(outbox_.TakeExpired(kStart + seconds(111)).size(), 1u);
}

TEST_F(OutboxTest, TakeAllLeavesNothing) {
  Add(1);
  Add(2);
  Take();
  EXPECT_EQ(outbox_.TakeAll().size(), 2u);
  EXPECT_TRUE(outbox_.empty());
  Add(3, 16384);
  EXPECT_EQ(Take(), 3u);  // nothing is counted as in flight any more
}

}  // namespace
}  // namespace vswap::client
