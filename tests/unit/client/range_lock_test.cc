#include "client/range_lock.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace vswap::client {
namespace {

using Mode = RangeLock::Mode;

class RangeLockTest : public testing::Test {
 protected:
  struct Holder : RangeLock::Ticket {
    explicit Holder(std::vector<PageRange> r) : ranges(std::move(r)) {}
    void Granted() override { granted = true; }
    const std::vector<PageRange> ranges;
    bool granted = false;
  };
  std::unique_ptr<Holder> Take(std::vector<PageRange> ranges, Mode mode) {
    auto holder = std::make_unique<Holder>(std::move(ranges));
    lock_.Acquire(holder->ranges, mode, *holder);
    return holder;
  }
  RangeLock lock_;
};

TEST_F(RangeLockTest, SharedHoldersDoNotWait) {
  const auto a = Take({{0, 10}}, Mode::kShared);
  const auto b = Take({{5, 10}}, Mode::kShared);
  EXPECT_TRUE(a->granted);
  EXPECT_TRUE(b->granted);
}

TEST_F(RangeLockTest, ExclusiveWaitsForEachEarlierOverlap) {
  const auto a = Take({{0, 10}}, Mode::kShared);
  const auto b = Take({{8, 4}}, Mode::kShared);
  const auto c = Take({{9, 1}}, Mode::kExclusive);
  EXPECT_FALSE(c->granted);
  lock_.Release(*a);
  EXPECT_FALSE(c->granted);
  lock_.Release(*b);
  EXPECT_TRUE(c->granted);
}

TEST_F(RangeLockTest, NeighboursDoNotConflict) {
  const auto a = Take({{0, 10}}, Mode::kExclusive);
  const auto b = Take({{10, 10}}, Mode::kExclusive);
  EXPECT_TRUE(a->granted);
  EXPECT_TRUE(b->granted);
}

TEST_F(RangeLockTest, AReaderDoesNotOvertakeAWaitingWriter) {
  const auto a = Take({{0, 1}}, Mode::kShared);
  const auto b = Take({{0, 1}}, Mode::kExclusive);
  const auto c = Take({{0, 1}}, Mode::kShared);
  EXPECT_FALSE(c->granted);
  lock_.Release(*a);
  EXPECT_TRUE(b->granted);
  EXPECT_FALSE(c->granted);
  lock_.Release(*b);
  EXPECT_TRUE(c->granted);
}

TEST_F(RangeLockTest, ListsAreComparedRangeByRange) {
  const auto a = Take({{100, 1}, {0, 1}, {50, 2}}, Mode::kExclusive);
  const auto b = Take({{1, 49}, {52, 48}}, Mode::kExclusive);
  const auto c = Take({{200, 1}, {51, 1}}, Mode::kExclusive);
  EXPECT_TRUE(b->granted);
  EXPECT_FALSE(c->granted);
}

TEST_F(RangeLockTest, AChainOfReleasesHasNoDepth) {
  constexpr int kChain = 100000;
  constexpr std::array<PageRange, 1> kRange = {{{0, 1}}};
  int granted = 0;
  struct Link : RangeLock::Ticket {
    void Granted() override {
      ++*count;
      lock->Release(*this);
    }
    RangeLock* lock = nullptr;
    int* count = nullptr;
  };
  std::vector<Link> links(kChain);
  auto first = Take({{0, 1}}, Mode::kExclusive);
  for (int i = 0; i < kChain; ++i) {
    Link& link = links[static_cast<size_t>(i)];
    link.lock = &lock_;
    link.count = &granted;
    // Shared among each other: the comparison with all of them stays short.
    lock_.Acquire(kRange, Mode::kShared, link);
    if (i % 1000 == 999) {
      lock_.Release(*first);
      EXPECT_EQ(granted, i + 1);
      first = Take({{0, 1}}, Mode::kExclusive);
    }
  }
  EXPECT_EQ(granted, kChain);
  lock_.Release(*first);
}

TEST_F(RangeLockTest, ThreadsNeverShareAnExclusiveSlot) {
  static std::atomic<int> inside{0};
  static std::atomic<int> worst{0};
  static std::atomic<int> done{0};
  constexpr int kRounds = 500;
  static constexpr std::array<PageRange, 1> kRange = {{{0, 2}}};
  struct Visit : RangeLock::Ticket {
    explicit Visit(RangeLock& l) : lock(l) {}
    void Granted() override {
      worst = std::max(worst.load(), ++inside);
      --inside;
      ++done;
      lock.Release(*this);
      delete this;
    }
    RangeLock& lock;
  };
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kRounds; ++i) {
          lock_.Acquire(kRange, Mode::kExclusive, *new Visit(lock_));
        }
      });
    }
  }
  EXPECT_EQ(worst, 1);
  EXPECT_EQ(done, 4 * kRounds);
}

}  // namespace
}  // namespace vswap::client
