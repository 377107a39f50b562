#include "services/cluster/circuit_breaker.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <future>
#include <memory>
#include <optional>
#include <sstream>
#include <thread>

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
        CircuitBreaker::Options{.name = "store-1",
                                .calls_max = 2,
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

TEST_F(CircuitBreakerTest, ItsStateAndWhatItRefusesAreCounted) {
  const CircuitCounters& counters = breaker_->counters();
  for (int i = 0; i < 5; ++i) {
    Get();  // two are sent, two wait
  }
  EXPECT_EQ(counters.refused_too_many, 1u);
  EXPECT_EQ(counters.refused_open, 0u);
  node_.Answer(kSilence);
  EXPECT_FALSE(counters.open);
  node_.Answer(kSilence);
  EXPECT_TRUE(counters.open);
  EXPECT_EQ(counters.refused_open, 1u);  // the other was sent before it opened
  Get();
  EXPECT_EQ(counters.refused_open, 2u);
  node_.Answer(Status());
  EXPECT_FALSE(counters.open);
  EXPECT_EQ(counters.refused_open, 2u);
  EXPECT_EQ(counters.refused_too_many, 1u);
}

// What is logged until it is gone.
class LoggedLines {
 public:
  LoggedLines() {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "", std::make_shared<spdlog::sinks::ostream_sink_st>(out_, true)));
    spdlog::set_pattern("%l %v");
  }
  ~LoggedLines() { spdlog::set_default_logger(before_); }
  std::string text() const { return out_.str(); }

 private:
  const std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
  std::ostringstream out_;
};

TEST_F(CircuitBreakerTest, ThatItOpensAndClosesIsLoggedOnce) {
  LoggedLines lines;
  Get();
  Get();
  node_.Answer(kSilence);
  node_.Answer(kSilence);
  Get();
  executor_.Advance(std::chrono::milliseconds(100));
  Get();
  node_.Answer(kSilence);
  breaker_->Statistics([](const auto&) {});
  breaker_->Statistics([](const auto&) {});
  EXPECT_EQ(lines.text(),
            "warning node store-1 does not answer: its circuit is open\n"
            "info node store-1 answers again: its circuit is closed\n");
}

class CountingClock : public Clock {
 public:
  TimePoint Now() const override {
    ++asked;
    return {};
  }
  mutable int asked = 0;
};

TEST_F(CircuitBreakerTest, OnceItIsGoneAnswersAskNobodyForTheTime) {
  CountingClock clock;
  breaker_ = std::make_unique<CircuitBreaker>(node_, CircuitBreaker::Options{}, clock);
  const auto sent = Get();
  node_.statistics = kSilence;
  breaker_.reset();
  const int before = clock.asked;
  node_.Answer(kSilence);
  EXPECT_TRUE(sent->has_value());
  EXPECT_EQ(clock.asked, before);
}

// A node whose second call looks whether the breaker goes meanwhile.
class SlowToTake : public HeldCalls {
 public:
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override {
    HeldCalls::Get(std::move(names), lane, std::move(done));
    if (++calls_ == 2) {
      taking.set_value();
      went =
          gone.get_future().wait_for(std::chrono::milliseconds(200)) == std::future_status::ready;
    }
  }

  std::promise<void> taking;
  std::promise<void> gone;
  bool went = false;

 private:
  int calls_ = 0;
};

TEST_F(CircuitBreakerTest, ACallThatIsBeingSentIsWaitedFor) {
  SlowToTake node;
  auto breaker =
      std::make_unique<CircuitBreaker>(node, CircuitBreaker::Options{.calls_max = 1}, executor_);
  for (int i = 0; i < 2; ++i) {
    breaker->Get({{1, 2, 3}}, Lane::kDemand, [](const auto&) {});
  }
  std::jthread answers([&] { node.Answer(Status()); });
  node.taking.get_future().wait();
  breaker.reset();
  node.gone.set_value();
  answers.join();
  EXPECT_FALSE(node.went);
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
