#include "services/common/settings.h"

#include <gtest/gtest.h>

namespace vswap {
namespace {

struct Command {
  CLI::App app;
  Settings settings{app};
  uint64_t bytes = 1;
  uint64_t count = 1;

  Command() {
    settings.Bytes("memory-max", bytes, 1, uint64_t{1} << 40, "");
    settings.Count("shards", count, 1, 4096, "");
  }
  bool Takes(const std::string& argument) {
    const char* const arguments[] = {"vswapd", argument.c_str()};
    try {
      app.parse(2, arguments);
      return true;
    } catch (const CLI::ParseError&) {
      return false;
    }
  }
};

// Found by fuzz_settings: a leading zero made a number octal.
TEST(SettingsRegress, ALeadingZeroIsNotOctal) {
  Command command;
  ASSERT_TRUE(command.Takes("--memory-max=010M"));
  EXPECT_EQ(command.bytes, uint64_t{10} << 20);
  Command other;
  ASSERT_TRUE(other.Takes("--shards=010"));
  EXPECT_EQ(other.count, 10u);
}

// Found by fuzz_settings: "0x1B" was 0x1 with unit B, "M" alone 1 MiB, and a negative number that
// wraps around into the range was taken where a blank stood before it.
TEST(SettingsRegress, WhatIsNoPlainNumberIsRefused) {
  for (const char* argument : {"--memory-max=0x1B", "--memory-max=M", "--shards=0x10",
                               "--shards= -18446744073709551615"}) {
    EXPECT_FALSE(Command().Takes(argument)) << argument;
  }
}

}  // namespace
}  // namespace vswap
