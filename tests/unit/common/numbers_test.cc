#include "services/common/numbers.h"

#include <gtest/gtest.h>

namespace vswap {
namespace {

TEST(Numbers, ACountIsDecimalDigitsOnly) {
  EXPECT_EQ(ParseCount("0"), 0u);
  EXPECT_EQ(ParseCount("010"), 10u);
  EXPECT_EQ(ParseCount("18446744073709551615"), UINT64_MAX);
  for (const char* text :
       {"", " 1", "1 ", "-1", "+1", "0x10", "1e3", "1K", "18446744073709551616"}) {
    EXPECT_EQ(ParseCount(text), std::nullopt) << text;
  }
}

TEST(Numbers, UnitsOfBytesArePowersOf1024) {
  EXPECT_EQ(ParseBytes("4096"), 4096u);
  EXPECT_EQ(ParseBytes("7B"), 7u);
  for (const char* text : {"3m", "3M", "3MB", "3Mi", "3mib", "3MiB", "3 MiB", "3145728"}) {
    EXPECT_EQ(ParseBytes(text), 3u << 20) << text;
  }
  EXPECT_EQ(ParseBytes("1K"), uint64_t{1} << 10);
  EXPECT_EQ(ParseBytes("1G"), uint64_t{1} << 30);
  EXPECT_EQ(ParseBytes("1T"), uint64_t{1} << 40);
  EXPECT_EQ(ParseBytes("1P"), uint64_t{1} << 50);
  EXPECT_EQ(ParseBytes("15E"), uint64_t{15} << 60);
}

TEST(Numbers, WhatDoesNotFitIsNoNumberOfBytes) {
  for (const char* text : {"", "M", " 1M", "1M ", "1 ", "1  M", "-1M", "1.5M", "0x1B", "1e3", "1Mx",
                           "1bi", "16E", "18446744073709551616", "1\xc4\xb0"}) {
    EXPECT_EQ(ParseBytes(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace vswap
