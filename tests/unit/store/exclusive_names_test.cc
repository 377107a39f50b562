#include "services/store/exclusive_names.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>

#include "services/common/thread_pool.h"

namespace vswap {
namespace {

PageName Named(uint64_t offset) { return {1, offset, 1}; }

// Work that starts work: what is started inside finds the names taken.
TEST(ExclusiveNames, WorkOnATakenNameWaitsAndTheRestDoesNot) {
  ManualExecutor executor;
  ExclusiveNames names(executor);
  std::string order;
  const auto work = [&order](char which) {
    return [&order, which]() -> ExclusiveNames::Then {
      order += which;
      return [] {};
    };
  };
  names.Run({Named(1), Named(2)}, [&]() -> ExclusiveNames::Then {
    names.Run({Named(2), Named(3)}, work('b'));
    names.Run({Named(3)}, work('c'));
    names.Run({Named(1)}, work('d'));
    order += 'a';
    return [&order] { order += 'A'; };
  });
  EXPECT_EQ(order, "caA");
  executor.RunReady();
  EXPECT_EQ(order, "caAbd");
}

TEST(ExclusiveNames, TheAnswerRunsWithTheNamesFree) {
  ManualExecutor executor;
  ExclusiveNames names(executor);
  bool again = false;
  names.Run({Named(1)}, [&]() -> ExclusiveNames::Then {
    return [&] {
      names.Run({Named(1)}, [&again]() -> ExclusiveNames::Then {
        again = true;
        return [] {};
      });
    };
  });
  EXPECT_TRUE(again);
}

TEST(ExclusiveNames, NoTwoAtOnceOnOneNameWithManyThreads) {
  constexpr int kWorks = 2000;
  std::atomic<int> inside[4] = {};
  std::atomic<int> overlaps = 0;
  std::atomic<int> left = kWorks;
  std::promise<void> all;
  ThreadPool pool(4);
  ExclusiveNames names(pool);
  for (int i = 0; i < kWorks; ++i) {
    const uint64_t first = static_cast<uint64_t>(i % 4);
    const uint64_t second = static_cast<uint64_t>((i / 4) % 4);
    std::vector<PageName> both = {Named(first)};
    if (second != first) {
      both.push_back(Named(second));
    }
    names.Run(both, [&, both]() -> ExclusiveNames::Then {
      for (const PageName& name : both) {
        overlaps += inside[name.offset].fetch_add(1) == 0 ? 0 : 1;
      }
      for (const PageName& name : both) {
        inside[name.offset].fetch_sub(1);
      }
      return [&] {
        if (left.fetch_sub(1) == 1) {
          all.set_value();
        }
      };
    });
  }
  all.get_future().wait();
  pool.Stop();
  EXPECT_EQ(overlaps.load(), 0);
}

}  // namespace
}  // namespace vswap
