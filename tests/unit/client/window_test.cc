#include "client/window.h"

#include <gtest/gtest.h>

namespace vswap::client {
namespace {

TEST(Window, CountsFromOne) {
  Window window;
  EXPECT_EQ(window.floor(), 1u);
  EXPECT_EQ(window.Begin(true), 1u);
  EXPECT_EQ(window.Begin(false), 2u);
}

TEST(Window, FloorIsTheLowestUnfinished) {
  Window window;
  for (int i = 0; i < 4; ++i) {
    window.Begin(true);
  }
  window.Finish(2);
  EXPECT_EQ(window.floor(), 1u);
  window.Finish(1);
  EXPECT_EQ(window.floor(), 3u);
  window.Finish(4);
  window.Finish(3);
  EXPECT_EQ(window.floor(), 5u);
}

TEST(Window, ChangesWaitAtTheSpanAndReadsDoNot) {
  Window window(3);
  EXPECT_EQ(window.Begin(true), 1u);
  EXPECT_EQ(window.Begin(true), 2u);
  EXPECT_EQ(window.Begin(true), 3u);
  EXPECT_EQ(window.Begin(true), std::nullopt);
  EXPECT_EQ(window.Begin(false), 4u);
  window.Finish(2);
  EXPECT_EQ(window.Begin(true), std::nullopt);  // it is the floor that counts
  window.Finish(1);
  EXPECT_EQ(window.floor(), 3u);
  EXPECT_EQ(window.Begin(true), 5u);
  EXPECT_EQ(window.Begin(true), std::nullopt);
}

}  // namespace
}  // namespace vswap::client
