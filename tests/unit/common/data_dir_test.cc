#include "services/common/data_dir.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "services/common/thread_pool.h"
#include "tests/support/temp_dir.h"

namespace vswap {
namespace {

TEST(DataDir, TheIdIsMadeOnceAndStays) {
  const TempDir parent;
  const std::string directory = parent.path() + "/data";
  SystemRandom random;
  EXPECT_EQ(*ReadDataDirId(directory), std::nullopt);
  const auto made = ReadOrMakeDataDirId(directory, random);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(*ReadOrMakeDataDirId(directory, random), *made);
  EXPECT_EQ(*ReadDataDirId(directory), std::optional<uint64_t>(*made));
  std::ifstream file(directory + "/id");
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, FormatDataDirId(*made));
  EXPECT_EQ(line.size(), 16u);
}

TEST(DataDir, ADamagedIdIsNotReplaced) {
  const TempDir directory;
  const std::string texts[] = {"",
                               "0123456789abcdef",
                               "0123456789abcde\n",
                               "0123456789abcdeg\n",
                               "0123456789abcdef\n\n",
                               "+123456789abcdef\n"};
  for (const std::string& text : texts) {
    std::ofstream(directory.path() + "/id") << text;
    SystemRandom random;
    const auto id = ReadOrMakeDataDirId(directory.path(), random);
    EXPECT_EQ(id.status().code(), StatusCode::kDataLoss) << text;
    EXPECT_EQ(std::filesystem::file_size(directory.path() + "/id"), text.size());
  }
}

TEST(DataDir, ADirectoryThatCannotBeMadeIsAnError) {
  SystemRandom random;
  EXPECT_EQ(ReadOrMakeDataDirId("/nowhere/data", random).status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace vswap
