#include "services/cluster/circuit_breaker.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "services/common/thread_pool.h"

namespace vswap {
namespace {

const Status kSilence = MakeError(StatusCode::kUnavailable, "silent");

// Keeps every call until the test answers it.
class HeldCalls : public Node {
 public:
  void Put(std::vector<PutPage>, Lane lane, Callback<PutReply> done) override {
    Hold(lane, std::move(done));
  }
  void Get(std::vector<PageName>, Lane lane, Callback<GetReply> done) override {
    Hold(lane, std::move(done));
  }
  void Delete(std::vector<PageName>, Callback<Incarnation> done) override {
    Hold(Lane::kBackground, std::move(done));
  }
  void Inventory(std::string, uint32_t, Callback<InventoryReply> done) override {
    Hold(Lane::kBackground, std::move(done));
  }
  void Verify(std::vector<PageName>, Callback<VerifyReply> done) override {
    Hold(Lane::kBackground, std::move(done));
  }
  void Statistics(Callback<NodeStatistics> done) override {
    done(statistics.ok() ? StatusOr<NodeStatistics>(NodeStatistics()) : statistics);
  }
  // The oldest call.
  void Answer(const Status& status) {
    const auto answer = std::move(held.front().second);
    held.pop_front();
    answer(status);
  }

  std::deque<std::pair<Lane, std::function<void(const Status&)>>> held;
  Status statistics;

 private:
  template <typename T>
  void Hold(Lane lane, Callback<T> done) {
    held.emplace_back(lane, [done = std::move(done)](const Status& status) {
      done(status.ok() ? StatusOr<T>(T()) : status);
    });
  }
};

class CircuitBreakerTest : public testing::Test {
 protected:
  CircuitBreakerTest() {
    breaker_ = std::make_unique<CircuitBreaker>(
        node_,
        CircuitBreaker::Options{.calls_max = 2,
                                .waiting_max = 2,
                                .failures_max = 2,
                                .probe = std::chrono::milliseconds(100)},
        executor_);
  }

  // Its answer, once there is one.
  std::shared_ptr<std::optional<Status>> Get(Lane lane = Lane::kDemand) {
    const auto answer = std::make_shared<std::optional<Status>>();
    breaker_->Get({{1, 2, 3}}, lane,
                  [answer](const StatusOr<GetReply>& reply) { *answer = reply.status(); });
    return answer;
  }
  void Open() {
    for (int i = 0; i < 2; ++i) {
      Get();
      node_.Answer(kSilence);
    }
    ASSERT_TRUE(breaker_->open());
  }

  ManualExecutor executor_;
  HeldCalls node_;
  std::unique_ptr<CircuitBreaker> breaker_;
};

TEST_F(CircuitBreakerTest, WhatIsBeyondTheCapWaitsTheMostUrgentFirst) {
  Get();
  Get();
  const auto background = Get(Lane::kBackground);
  const auto demand = Get();
  bool deleted = false;
  breaker_->Delete({{1, 2, 3}}, [&](const StatusOr<Incarnation>& reply) { deleted = reply.ok(); });
  EXPECT_EQ(node_.held.size(), 2u);
  const auto refused = Get(Lane::kBackground);
  ASSERT_TRUE(refused->has_value());
  EXPECT_EQ((*refused)->code(), StatusCode::kResourceExhausted);  // it is not silent
  node_.Answer(Status());
  ASSERT_EQ(node_.held.size(), 2u);
  EXPECT_EQ(node_.held.back().first, Lane::kDemand);
  node_.Answer(Status());
  EXPECT_EQ(node_.held.back().first, Lane::kBackground);
  while (!node_.held.empty()) {
    node_.Answer(Status());
  }
  EXPECT_TRUE(demand->value().ok());
  EXPECT_TRUE(background->value().ok());
  EXPECT_TRUE(deleted);
}

TEST_F(CircuitBreakerTest, TheLeastUrgentIsNotKeptOutForEver) {
  Get();
  Get();
  const auto background = Get(Lane::kBackground);
  for (int i = 0; i < 10; ++i) {
    Get();
    node_.Answer(Status());
  }
  node_.Answer(Status());
  node_.Answer(Status());
  EXPECT_TRUE(background->has_value());
}

TEST_F(CircuitBreakerTest, AfterFailuresInARowNothingIsAskedButAProbe) {
  Open();
  EXPECT_FALSE(Get()->value().ok());
  EXPECT_TRUE(node_.held.empty());
  executor_.Advance(std::chrono::milliseconds(100));
  const auto probe = Get();
  EXPECT_EQ(node_.held.size(), 1u);
  EXPECT_FALSE(Get()->value().ok());  // one each
  node_.Answer(kSilence);
  EXPECT_TRUE(probe->has_value());
  EXPECT_TRUE(breaker_->open());
  executor_.Advance(std::chrono::milliseconds(100));
  Get();
  node_.Answer(Status());
  EXPECT_FALSE(breaker_->open());
  const auto again = Get();
  node_.Answer(Status());
  EXPECT_TRUE(again->value().ok());
}

TEST_F(CircuitBreakerTest, StatisticsPassAndCloseIt) {
  Open();
  node_.statistics = kSilence;
  breaker_->Statistics([](const auto&) {});
  EXPECT_TRUE(breaker_->open());
  node_.statistics = Status();
  breaker_->Statistics([](const auto&) {});
  EXPECT_FALSE(breaker_->open());
}

TEST_F(CircuitBreakerTest, WhatWaitsIsRefusedWhenItOpens) {
  Get();
  Get();
  const auto waits = Get();
  node_.Answer(kSilence);  // the one that waited is sent
  const auto waits_too = Get();
  node_.Answer(MakeError(StatusCode::kDeadlineExceeded, "late"));
  EXPECT_TRUE(breaker_->open());
  EXPECT_FALSE(waits->has_value());
  ASSERT_TRUE(waits_too->has_value());
  EXPECT_EQ((*waits_too)->code(), StatusCode::kUnavailable);
}

TEST_F(CircuitBreakerTest, ARefusalByTheNodeIsAnAnswer) {
  for (int i = 0; i < 10; ++i) {
    Get();
    node_.Answer(i % 2 == 0 ? kSilence : MakeError(StatusCode::kInvalidArgument, "names"));
  }
  EXPECT_FALSE(breaker_->open());
}

TEST_F(CircuitBreakerTest, MayGoWhileCallsAreUnderWay) {
  const auto sent = Get();
  Get();
  const auto waits = Get();
  breaker_.reset();
  while (!node_.held.empty()) {
    node_.Answer(Status());
  }
  EXPECT_TRUE(sent->value().ok());
  EXPECT_FALSE(waits->has_value());
}

}  // namespace
}  // namespace vswap
