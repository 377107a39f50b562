#include "services/common/heap_trimmer.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace vswap {
namespace {

// Blocks of a cluster's size, of which every 50th stays: nothing at the end of an arena is free.
TEST(HeapTrimmer, GivesHolesBack) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's heap";
#endif
  constexpr size_t kBlocks = 20000;
  constexpr size_t kBlockBytes = 6160;
  std::vector<std::unique_ptr<char[]>> blocks;
  std::thread([&] {
    for (size_t i = 0; i < kBlocks; ++i) {
      blocks.push_back(std::make_unique<char[]>(kBlockBytes));
    }
    for (size_t i = 0; i < kBlocks; ++i) {
      if (i % 50 != 49) {
        blocks[i] = nullptr;
      }
    }
  }).join();
  const uint64_t before = ResidentAnonymousBytes();
  ASSERT_GT(before, kBlocks * kBlockBytes / 2);
  const HeapTrimmer trimmer(std::chrono::milliseconds(1));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (ResidentAnonymousBytes() > before / 4 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_LE(ResidentAnonymousBytes(), before / 4);
}

TEST(HeapTrimmer, EndsAtOnce) { const HeapTrimmer trimmer(std::chrono::hours(1)); }

}  // namespace
}  // namespace vswap
