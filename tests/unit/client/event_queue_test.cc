#include "client/event_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace vswap::client {
namespace {

using std::chrono::seconds;

// A queue with its own thread, whose tick never helps.
class EventQueueTest : public testing::Test {
 protected:
  EventQueueTest() : own_([this] { queue_.Run(); }) {}
  ~EventQueueTest() override {
    queue_.Post([this] { queue_.Stop(); });
    own_.join();
  }
  EventQueue queue_{[] { return seconds(3600); }};
  std::thread own_;
};

TEST_F(EventQueueTest, WhoWaitsRunsTheEventThatFinishesIt) {
  EventQueue::Waiter waiter;
  std::thread::id ran_on;
  queue_.Post([&] {
    ran_on = std::this_thread::get_id();
    EXPECT_TRUE(queue_.OnThread());
    queue_.Finish(waiter);
  });
  queue_.Await(waiter);
  // Its own, or the queue's where that looked just then.
  EXPECT_TRUE(ran_on == std::this_thread::get_id() || ran_on == own_.get_id());
  EXPECT_FALSE(queue_.OnThread());
}

TEST_F(EventQueueTest, ALeaderIsWokenByAThreadThatFinishesItWithoutAnEvent) {
  for (int i = 0; i < 100; ++i) {
    EventQueue::Waiter waiter;
    std::jthread other([&] { queue_.Finish(waiter); });
    queue_.Await(waiter);
  }
}

TEST_F(EventQueueTest, WhatIsFinishedBeforeDoesNotWait) {
  EventQueue::Waiter waiter;
  queue_.Finish(waiter);
  queue_.Await(waiter);
}

TEST_F(EventQueueTest, TheLeadIsPassedOnUntilAllAreFinished) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 500;
  std::atomic<int> inside{0};
  std::atomic<int> worst{0};
  std::atomic<int> done{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kRounds; ++i) {
          EventQueue::Waiter waiter;
          queue_.Post([&] {
            worst = std::max(worst.load(), ++inside);
            --inside;
            queue_.Finish(waiter);
          });
          queue_.Await(waiter);
          ++done;
        }
      });
    }
  }
  EXPECT_EQ(done, kThreads * kRounds);
  EXPECT_EQ(worst, 1);  // one thread at a time runs events
}

TEST_F(EventQueueTest, UnderAHoldTheOwnThreadRunsEventsAtOnce) {
  queue_.Hold();
  std::atomic<int> chain{0};
  std::atomic<bool> ended{false};
  // Each posts the next: with a look in between, it would take 4 s.
  std::function<void()> next = [&] {
    if (++chain == 200) {
      ended = true;
      ended.notify_one();
    } else {
      queue_.Post(next);
    }
  };
  const auto begun = std::chrono::steady_clock::now();
  queue_.Post(next);
  ended.wait(false);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(3500));
  queue_.Unhold();
}

}  // namespace
}  // namespace vswap::client
