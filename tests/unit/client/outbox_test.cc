#include "client/outbox.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace vswap::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr TimePoint kStart{seconds(1000)};

class OutboxTest : public testing::Test {
 protected:
  Request& Add(Sequence sequence, size_t bytes = 4096) {
    Request& request = *requests_.emplace_back(std::make_unique<Request>());
    request.sequence = sequence;
    request.page_bytes = bytes;
    request.patience = seconds(60);
    outbox_.Add(request, kStart);
    return request;
  }
  Sequence Take(TimePoint now = kStart) {
    const Request* request = outbox_.TakeNext(now);
    return request == nullptr ? 0 : request->sequence;
  }
  size_t CountExpired(TimePoint now) {
    Outbox::Requests expired;
    outbox_.TakeExpired(now, expired);
    return expired.size();
  }
  std::vector<std::unique_ptr<Request>> requests_;
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
  outbox_.Remove(*outbox_.Find(2));
  EXPECT_EQ(Take(), 4u);
}

TEST_F(OutboxTest, StopsAtTheBytesButSendsWhatIsLargerAlone) {
  Add(1, 20000);
  Add(2, 1);
  EXPECT_EQ(Take(), 1u);
  EXPECT_EQ(Take(), 0u);
  outbox_.Remove(*outbox_.Find(1));
  EXPECT_EQ(Take(), 2u);
}

TEST_F(OutboxTest, ABreakSendsEverythingAgainInOrder) {
  for (Sequence i = 1; i <= 3; ++i) {
    Add(i);
    Take();
  }
  outbox_.Remove(*outbox_.Find(2));
  outbox_.PutAllBack();
  EXPECT_EQ(outbox_.Find(1), nullptr);
  EXPECT_EQ(Take(), 1u);
  EXPECT_EQ(Take(), 3u);
  EXPECT_EQ(Take(), 0u);
}

TEST_F(OutboxTest, WhatIsPutBackWaitsLongerEachTime) {
  Request& request = Add(1);
  Duration last{};
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(Take(std::max(kStart, request.not_before)), 1u);
    const TimePoint now = kStart + seconds(i);
    outbox_.PutBack(request, now);
    const Duration pause = request.not_before - now;
    EXPECT_GE(pause, last);
    EXPECT_LE(pause, milliseconds(500));
    EXPECT_EQ(Take(now), 0u);
    last = pause;
  }
  EXPECT_EQ(last, milliseconds(500));
}

TEST_F(OutboxTest, ADelayedRequestDoesNotHoldUpOthers) {
  Add(1).not_before = kStart + seconds(1);
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
  EXPECT_EQ(CountExpired(kStart + seconds(90)), 0u);
  EXPECT_EQ(CountExpired(kStart + seconds(91)), 1u);
  EXPECT_TRUE(outbox_.empty());
}

TEST_F(OutboxTest, TheQueueIsPatientWhileOthersAreAnswered) {
  Add(1);
  outbox_.NoteAnswer(kStart + seconds(50));
  EXPECT_EQ(CountExpired(kStart + seconds(61)), 0u);
  EXPECT_EQ(CountExpired(kStart + seconds(111)), 1u);
}

TEST_F(OutboxTest, WhatComesLateStillGoesOutInOrder) {
  for (const Sequence sequence : {5u, 2u, 9u, 1u, 7u}) {
    Add(sequence, 0);
  }
  EXPECT_EQ(Take(), 1u);
  EXPECT_EQ(Take(), 2u);
  EXPECT_EQ(Take(), 5u);
  outbox_.Remove(*outbox_.Find(2));
  outbox_.PutAllBack();
  for (const Sequence sequence : {1u, 5u, 7u}) {
    EXPECT_EQ(Take(), sequence);
  }
}

TEST_F(OutboxTest, TakeAllLeavesNothing) {
  Add(1);
  Add(2);
  Take();
  Outbox::Requests all;
  outbox_.TakeAll(all);
  EXPECT_EQ(all.size(), 2u);
  EXPECT_TRUE(outbox_.empty());
  Add(3, 16384);
  EXPECT_EQ(Take(), 3u);  // nothing is counted as in flight any more
}

}  // namespace
}  // namespace vswap::client
