#include "client/range_lock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace vswap::client {
namespace {

using Mode = RangeLock::Mode;

class RangeLockTest : public testing::Test {
 protected:
  struct Holder {
    RangeLock::TicketPtr ticket;
    bool granted = false;
  };
  std::unique_ptr<Holder> Take(std::vector<PageRange> ranges, Mode mode) {
    auto holder = std::make_unique<Holder>();
    lock_.Acquire(std::move(ranges), mode, &holder->ticket,
                  [raw = holder.get()] { raw->granted = true; });
    return holder;
  }
  RangeLock lock_;
};

TEST_F(RangeLockTest, SharedHoldersDoNotWait) {
  EXPECT_TRUE(Take({{0, 10}}, Mode::kShared)->granted);
  EXPECT_TRUE(Take({{5, 10}}, Mode::kShared)->granted);
}

TEST_F(RangeLockTest, ExclusiveWaitsForEachEarlierOverlap) {
  const auto a = Take({{0, 10}}, Mode::kShared);
  const auto b = Take({{8, 4}}, Mode::kShared);
  const auto c = Take({{9, 1}}, Mode::kExclusive);
  EXPECT_FALSE(c->granted);
  lock_.Release(a->ticket);
  EXPECT_FALSE(c->granted);
  lock_.Release(b->ticket);
  EXPECT_TRUE(c->granted);
}

TEST_F(RangeLockTest, NeighboursDoNotConflict) {
  EXPECT_TRUE(Take({{0, 10}}, Mode::kExclusive)->granted);
  EXPECT_TRUE(Take({{10, 10}}, Mode::kExclusive)->granted);
}

TEST_F(RangeLockTest, AReaderDoesNotOvertakeAWaitingWriter) {
  const auto a = Take({{0, 1}}, Mode::kShared);
  const auto b = Take({{0, 1}}, Mode::kExclusive);
  const auto c = Take({{0, 1}}, Mode::kShared);
  EXPECT_FALSE(c->granted);
  lock_.Release(a->ticket);
  EXPECT_TRUE(b->granted);
  EXPECT_FALSE(c->granted);
  lock_.Release(b->ticket);
  EXPECT_TRUE(c->granted);
}

TEST_F(RangeLockTest, ListsAreComparedRangeByRange) {
  const auto a = Take({{100, 1}, {0, 1}, {50, 2}}, Mode::kExclusive);
  EXPECT_TRUE(Take({{1, 49}, {52, 48}}, Mode::kExclusive)->granted);
  EXPECT_FALSE(Take({{200, 1}, {51, 1}}, Mode::kExclusive)->granted);
}

TEST_F(RangeLockTest, AChainOfReleasesHasNoDepth) {
  constexpr int kChain = 100000;
  int granted = 0;
  std::vector<RangeLock::TicketPtr> tickets(kChain + 1);
  lock_.Acquire({{0, 1}}, Mode::kExclusive, &tickets[0], [] {});
  for (int i = 1; i <= kChain; ++i) {
    // One range each but the first conflicts with all: keep the comparison short by pairs.
    lock_.Acquire({{0, 1}}, Mode::kShared, &tickets[static_cast<size_t>(i)], [&, i] {
      ++granted;
      lock_.Release(tickets[static_cast<size_t>(i)]);
    });
    if (i % 1000 == 0) {
      lock_.Release(tickets[0]);
      EXPECT_EQ(granted, i);
      lock_.Acquire({{0, 1}}, Mode::kExclusive, &tickets[0], [] {});
    }
  }
  EXPECT_EQ(granted, kChain);
}

TEST_F(RangeLockTest, ThreadsNeverShareAnExclusiveSlot) {
  std::atomic<int> inside{0};
  std::atomic<int> worst{0};
  std::atomic<int> done{0};
  constexpr int kRounds = 500;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kRounds; ++i) {
          auto ticket = std::make_shared<RangeLock::TicketPtr>();
          lock_.Acquire({{0, 2}}, Mode::kExclusive, ticket.get(), [&, ticket] {
            worst = std::max(worst.load(), ++inside);
            --inside;
            ++done;
            lock_.Release(*ticket);
          });
        }
      });
    }
  }
  EXPECT_EQ(worst, 1);
  EXPECT_EQ(done, 4 * kRounds);
}

}  // namespace
}  // namespace vswap::client
