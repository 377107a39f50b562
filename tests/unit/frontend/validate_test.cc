#include "services/frontend/validate.h"

#include <gtest/gtest.h>

namespace vswap {
namespace {

constexpr uint32_t kShards = 4;
constexpr BatchLimits kLimits = {.space_pages = 1 << 20, .shard_count = kShards};

RequestHeader HeaderFor(Offset offset) {
  RequestHeader header;
  header.space = 1;
  header.token = 1;
  header.shard = ShardOf(1, offset, kShards);
  header.epoch = 1;
  header.sequence = 7;
  header.floor = 3;
  return header;
}

// The message must be exactly of the form "FIELD is VALUE, allowed: RANGE".
void ExpectMessage(const Status& status, std::string_view message) {
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(MessageOf(status), message);
}

TEST(Validate, HeadersAreCheckedFieldByField) {
  EXPECT_TRUE(ValidateHeader(HeaderFor(0), kShards).ok());
  RequestHeader header = HeaderFor(0);
  header.shard = kShards;
  ExpectMessage(ValidateHeader(header, kShards), "shard is 4, allowed: 0..3");
  header = HeaderFor(0);
  header.sequence = 0;
  ExpectMessage(ValidateHeader(header, kShards), "sequence is 0, allowed: 1 and up");
  header = HeaderFor(0);
  header.floor = 0;
  ExpectMessage(ValidateHeader(header, kShards), "sequence_floor is 0, allowed: 1..7");
  header.floor = 8;
  ExpectMessage(ValidateHeader(header, kShards), "sequence_floor is 8, allowed: 1..7");
}

Status Check(const std::vector<Extent>& extents, const BatchLimits& limits = kLimits) {
  return ValidateExtents(HeaderFor(extents.empty() ? 0 : extents[0].offset), extents, limits);
}

TEST(Validate, ExtentsLieInTheSpaceAndTheBatch) {
  EXPECT_TRUE(Check({{0, 512}}).ok());
  EXPECT_TRUE(Check({{(1 << 20) - 1, 1}}).ok());
  ExpectMessage(Check({}), "extents is 0 long, allowed: 1..512");
  ExpectMessage(Check(std::vector<Extent>(513, Extent{0, 1})),
                "extents is 513 long, allowed: 1..512");
  ExpectMessage(Check({{1 << 20, 1}}), "offset is 1048576, allowed: 0..1048575");
  ExpectMessage(Check({{~Offset{0}, 1}}), "offset is 18446744073709551615, allowed: 0..1048575");
  ExpectMessage(Check({{5, 0}}), "pages is 0, allowed: 1..512 at offset 5");
  ExpectMessage(Check({{5, 513}}), "pages is 513, allowed: 1..512 at offset 5");
  ExpectMessage(Check({{5, ~uint32_t{0}}}), "pages is 4294967295, allowed: 1..512 at offset 5");
  ExpectMessage(Check({{(1 << 20) - 2, 3}}), "pages is 3, allowed: 1..2 at offset 1048574");
  ExpectMessage(Check({{0, 400}, {600, 113}}), "extents is 513 pages together, allowed: 1..512");
}

TEST(Validate, ExtentsLieInTheShardNamed) {
  Offset other = kStripePages;
  while (ShardOf(1, other, kShards) == ShardOf(1, 0, kShards)) {
    other += kStripePages;
  }
  RequestHeader header = HeaderFor(0);
  const std::string own = std::to_string(header.shard);
  const std::string its = std::to_string(ShardOf(1, other, kShards));
  ExpectMessage(ValidateExtents(header, {{0, 1}, {other, 1}}, kLimits),
                "shard is " + own + ", allowed: " + its + " for offset " + std::to_string(other));
  // An extent that leaves the shard at its end.
  const BatchLimits limits = {.space_pages = 1 << 20, .shard_count = kShards, .pages_max = 32768};
  EXPECT_FALSE(ValidateExtents(HeaderFor(other - 1), {{other - 1, 2}}, limits).ok() &&
               ShardOf(1, other - 1, kShards) != ShardOf(1, other, kShards));
}

class ValidatePagesTest : public testing::Test {
 protected:
  static StoreCall CallFor(std::vector<Extent> extents) {
    static const std::vector<std::byte> bytes(kPageBytes, std::byte{1});
    StoreCall call;
    call.header = HeaderFor(extents[0].offset);
    call.extents = std::move(extents);
    for (const Extent& extent : call.extents) {
      for (uint32_t i = 0; i < extent.pages; ++i) {
        call.pages.push_back({extent.offset + i, Encoding::kRaw, 0, bytes});
      }
    }
    return call;
  }
};

TEST_F(ValidatePagesTest, PagesFitTheirEncodings) {
  StoreCall call = CallFor({{3, 2}});
  EXPECT_TRUE(ValidatePages(call).ok());
  const ByteView bytes = call.pages[1].bytes;
  const auto with = [&](Encoding encoding, size_t length) {
    call.pages[1].encoding = encoding;
    call.pages[1].bytes = bytes.first(length);
    return ValidatePages(call);
  };
  EXPECT_TRUE(with(Encoding::kZero, 0).ok());
  EXPECT_TRUE(with(Encoding::kLz4, 1).ok());
  EXPECT_TRUE(with(Encoding::kLz4, 4095).ok());
  ExpectMessage(with(Encoding::kZero, 1), "lengths is 1, allowed: 0 for ZERO");
  ExpectMessage(with(Encoding::kRaw, 4095), "lengths is 4095, allowed: 4096 for RAW");
  ExpectMessage(with(Encoding::kLz4, 0), "lengths is 0, allowed: 1..4095 for LZ4");
  ExpectMessage(with(Encoding::kLz4, 4096), "lengths is 4096, allowed: 1..4095 for LZ4");
  ExpectMessage(with(Encoding::kUnset, 0), "encodings is 0, allowed: 1 (RAW), 2 (ZERO), 3 (LZ4)");
  ExpectMessage(with(static_cast<Encoding>(9), 0),
                "encodings is 9, allowed: 1 (RAW), 2 (ZERO), 3 (LZ4)");
}

TEST_F(ValidatePagesTest, PagesAreAsManyAsTheSlotsAndEachSlotComesOnce) {
  StoreCall call = CallFor({{3, 2}});
  call.pages.pop_back();
  ExpectMessage(ValidatePages(call),
                "encodings is 1 pages, allowed: 2, as many as the extents cover");
  call = CallFor({{3, 2}});
  call.pages[1].offset = 5;
  ExpectMessage(ValidatePages(call), "offset is 5, allowed: 4, as in the extents");
  call = CallFor({{3, 2}, {4, 1}});
  ExpectMessage(ValidatePages(call), "extents is slot 4 twice, allowed: each slot once");
}

}  // namespace
}  // namespace vswap
