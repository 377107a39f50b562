#include "client/request_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

namespace vswap::client {
namespace {

TEST(RequestPool, HasAsManyAsItWasMadeWith) {
  RequestPool pool(3);
  std::set<Request*> taken;
  while (Request* request = pool.TryTake()) {
    taken.insert(request);
  }
  EXPECT_EQ(taken.size(), 3u);
  for (Request* request : taken) {
    pool.PutBack(*request);
  }
  Request& again = pool.Take(true);
  EXPECT_TRUE(taken.contains(&again));
  pool.PutBack(again);
}

TEST(RequestPool, WhatComesOutIsAsNew) {
  RequestPool pool(1);
  Request& request = pool.Take(true);
  request.Add({{5, 7}, 0});
  request.tries = 4;
  request.was_sent = true;
  pool.PutBack(request);
  Request& again = pool.Take(true);
  EXPECT_EQ(&again, &request);
  EXPECT_TRUE(again.pieces.empty());
  EXPECT_EQ(again.pages, 0u);
  EXPECT_EQ(again.tries, 0);
  EXPECT_FALSE(again.was_sent);
  pool.PutBack(again);
}

TEST(RequestPool, OnlyWhoMustNotWaitGetsOneMore) {
  RequestPool pool(1);
  Request& first = pool.Take(true);
  EXPECT_EQ(pool.TryTake(), nullptr);
  Request& extra = pool.Take(false);
  EXPECT_NE(&extra, &first);
  pool.PutBack(first);
  EXPECT_EQ(pool.TryTake(), nullptr);  // one went, whichever it was
  pool.PutBack(extra);
  Request* const left = pool.TryTake();
  ASSERT_NE(left, nullptr);
  EXPECT_EQ(pool.TryTake(), nullptr);
  pool.PutBack(*left);
}

TEST(RequestPool, AWaitingThreadGetsWhatComesBack) {
  RequestPool pool(1);
  Request& first = pool.Take(true);
  std::atomic<Request*> got{nullptr};
  std::jthread waiter([&] { got = &pool.Take(true); });
  pool.PutBack(first);
  waiter.join();
  EXPECT_EQ(got, &first);
  pool.PutBack(first);
}

}  // namespace
}  // namespace vswap::client
