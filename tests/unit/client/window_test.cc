#include "client/window.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace vswap::client {
namespace {

class WindowTest : public testing::Test {
 protected:
  // The sequence that a request gets; 0: it must wait.
  Sequence Begin(Window& window, bool changes) {
    Request& request = *requests_.emplace_back(std::make_unique<Request>());
    request.kind = changes ? RequestKind::kStore : RequestKind::kLoad;
    if (!window.Begin(request)) {
      requests_.pop_back();
      return 0;
    }
    return request.sequence;
  }
  void Finish(Window& window, Sequence sequence) { window.Finish(*requests_[sequence - 1]); }

  std::vector<std::unique_ptr<Request>> requests_;
};

TEST_F(WindowTest, CountsFromOne) {
  Window window;
  EXPECT_EQ(window.floor(), 1u);
  EXPECT_EQ(Begin(window, true), 1u);
  EXPECT_EQ(Begin(window, false), 2u);
}

TEST_F(WindowTest, FloorIsTheLowestUnfinished) {
  Window window;
  for (int i = 0; i < 4; ++i) {
    Begin(window, true);
  }
  Finish(window, 2);
  EXPECT_EQ(window.floor(), 1u);
  Finish(window, 1);
  EXPECT_EQ(window.floor(), 3u);
  Finish(window, 4);
  Finish(window, 3);
  EXPECT_EQ(window.floor(), 5u);
}

TEST_F(WindowTest, ChangesWaitAtTheSpanAndReadsDoNot) {
  Window window(3);
  EXPECT_EQ(Begin(window, true), 1u);
  EXPECT_EQ(Begin(window, true), 2u);
  EXPECT_EQ(Begin(window, true), 3u);
  EXPECT_EQ(Begin(window, true), 0u);
  EXPECT_EQ(Begin(window, false), 4u);
  Finish(window, 2);
  EXPECT_EQ(Begin(window, true), 0u);  // it is the floor that counts
  Finish(window, 1);
  EXPECT_EQ(window.floor(), 3u);
  EXPECT_EQ(Begin(window, true), 5u);
  EXPECT_EQ(Begin(window, true), 0u);
}

}  // namespace
}  // namespace vswap::client
