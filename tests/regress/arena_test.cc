#include <unistd.h>

#include "tests/unit/compressor/arena_fixture.h"

namespace vswap {
namespace {

// Found by fuzz_arena: a hole of terabytes at the end of the file made recovery ask for 48 GB.
TEST(ArenaRegress, AFileLongerThanBlockNumbersReachIsRefused) {
  ArenaSetup setup;
  ASSERT_TRUE(setup.Keep({1, 2, 3}, 100));
  setup.Drop();
  ASSERT_EQ(truncate(setup.options.path.c_str(), off_t{1} << 46), 0);
  EXPECT_EQ(setup.OpenStatus().code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace vswap
