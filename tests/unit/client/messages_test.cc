#include "client/messages.h"

#include <gtest/gtest.h>
#include <lz4.h>

#include <algorithm>
#include <array>

#include "services/common/checksum.h"

namespace vswap::client {
namespace {

using Page = std::array<std::byte, kPageBytes>;

constexpr SendHeader kHeader{.space = 3, .token = 5, .epoch = 9, .floor = 11};

Page Filled(int value) {
  Page page;
  page.fill(static_cast<std::byte>(value));
  return page;
}

ByteView View(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(Messages, AStoreIsWhatProtobufReads) {
  const Page data = Filled(1);
  const Page zeros = Filled(0);
  Request request;
  request.kind = RequestKind::kStore;
  request.lane = Lane::kPageOut;
  request.shard = 2;
  request.sequence = 12;
  request.extents = {{100, 1}, {7, 1}};
  request.pages = {data, zeros};
  PrepareStore(kHeader.space, kHeader.token, &request);
  std::vector<ByteView> pages;
  std::string message = MakeRequestHead(kHeader, request, &pages);
  for (const ByteView page : pages) {
    message.append(reinterpret_cast<const char*>(page.data()), page.size());
  }
  v1::ExchangeRequest parsed;
  ASSERT_TRUE(parsed.ParseFromString(message));
  EXPECT_EQ(parsed.id(), 12u);
  const v1::StoreRequest& store = parsed.store();
  EXPECT_EQ(store.header().space(), 3u);
  EXPECT_EQ(store.header().token(), 5u);
  EXPECT_EQ(store.header().shard(), 2u);
  EXPECT_EQ(store.header().shard_epoch(), 9u);
  EXPECT_EQ(store.header().sequence(), 12u);
  EXPECT_EQ(store.header().sequence_floor(), 11u);
  EXPECT_EQ(store.header().lane(), v1::LANE_PAGE_OUT);
  ASSERT_EQ(store.extents_size(), 2);
  EXPECT_EQ(store.extents(1).offset(), 7u);
  EXPECT_EQ(store.encodings(), std::string("\1\2"));
  EXPECT_EQ(store.lengths(0), kPageBytes);
  EXPECT_EQ(store.lengths(1), 0u);
  EXPECT_EQ(store.checksums(0), PageChecksum(3, 100, {5, 12}, data));
  EXPECT_EQ(store.checksums(1), PageChecksum(3, 7, {5, 12}, zeros));
  EXPECT_EQ(store.pages(), std::string(kPageBytes, '\1'));
}

TEST(Messages, EveryOtherKindIsWhatProtobufReads) {
  Request request;
  request.sequence = 12;
  request.extents = {{100, 30}};
  const auto made = [&](RequestKind kind) {
    request.kind = kind;
    std::vector<ByteView> pages;
    v1::ExchangeRequest parsed;
    EXPECT_TRUE(parsed.ParseFromString(MakeRequestHead(kHeader, request, &pages)));
    EXPECT_TRUE(pages.empty());
    return parsed;
  };
  EXPECT_EQ(made(RequestKind::kLoad).load().extents(0).pages(), 30u);
  EXPECT_EQ(made(RequestKind::kFree).free().extents(0).pages(), 30u);
  EXPECT_EQ(made(RequestKind::kPrefetch).prefetch().extents(0).pages(), 30u);
  EXPECT_EQ(made(RequestKind::kExtents).extents().extent().offset(), 100u);
  EXPECT_EQ(made(RequestKind::kExtents).extents().header().sequence(), 12u);
}

TEST(Messages, AnErrorKeepsItsReason) {
  v1::ExchangeResponse response;
  response.set_id(4);
  response.mutable_error()->set_code(10);
  response.mutable_error()->set_reason(v1::ERROR_REASON_FENCED);
  response.mutable_error()->set_message("fenced");
  const std::string message = response.SerializeAsString();
  const StatusOr<Answer> answer = ParseAnswer(View(message));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->id, 4u);
  EXPECT_EQ(answer->status.code(), StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(answer->status), ErrorReason::kFenced);
  EXPECT_EQ(MessageOf(answer->status), "fenced");
}

TEST(Messages, AnErrorWithCodeOkIsStillAnError) {
  v1::ExchangeResponse response;
  response.mutable_error()->set_message("odd");
  const std::string message = response.SerializeAsString();
  const StatusOr<Answer> answer = ParseAnswer(View(message));
  ASSERT_TRUE(answer.ok());
  EXPECT_FALSE(answer->status.ok());
}

class AnswerCheck : public testing::Test {
 protected:
  AnswerCheck() {
    request_.kind = RequestKind::kLoad;
    request_.extents = {{0, 2}};
    v1::LoadResponse& load = *response_.mutable_load();
    load.set_codes("\1\1");
    load.set_encodings("\1\2");
    for (const uint32_t length : {4096, 0}) {
      load.add_lengths(length);
      load.add_checksums(0);
      load.add_stamp_tokens(0);
      load.add_stamp_sequences(0);
    }
    load.set_pages(std::string(4096, 'x'));
  }
  StatusCode Check() {
    const std::string message = response_.SerializeAsString();
    const StatusOr<Answer> answer = ParseAnswer(View(message));
    return answer.ok() ? CheckAnswer(request_, *answer).code() : answer.status().code();
  }
  Request request_;
  v1::ExchangeResponse response_;
};

TEST_F(AnswerCheck, AcceptsWhatFits) { EXPECT_EQ(Check(), StatusCode::kOk); }

TEST_F(AnswerCheck, RefusesAnotherKind) {
  request_.kind = RequestKind::kStore;
  EXPECT_EQ(Check(), StatusCode::kInternal);
}

TEST_F(AnswerCheck, RefusesAnotherNumberOfPages) {
  request_.extents = {{0, 3}};
  EXPECT_EQ(Check(), StatusCode::kInternal);
}

TEST_F(AnswerCheck, RefusesMissingFields) {
  response_.mutable_load()->mutable_stamp_tokens()->RemoveLast();
  EXPECT_EQ(Check(), StatusCode::kInternal);
}

TEST_F(AnswerCheck, RefusesLengthsThatAreNotThePages) {
  response_.mutable_load()->set_lengths(1, 1);
  EXPECT_EQ(Check(), StatusCode::kInternal);
}

TEST_F(AnswerCheck, RefusesNoise) {
  const std::string noise = "\x0a\xff";
  EXPECT_EQ(ParseAnswer(View(noise)).status().code(), StatusCode::kInvalidArgument);
}

class Decode : public testing::Test {
 protected:
  static constexpr SpaceId kSpace = 3;
  static constexpr Offset kOffset = 8;
  LoadedPage Loaded(Encoding encoding, ByteView bytes) const {
    const Stamp stamp{5, 12};
    return {encoding, PageChecksum(kSpace, kOffset, stamp, plain_), stamp, bytes};
  }
  const Page plain_ = Filled(3);
  Page out_ = Filled(9);
};

TEST_F(Decode, RawComesBack) {
  EXPECT_TRUE(DecodePage(kSpace, kOffset, Loaded(Encoding::kRaw, plain_), out_));
  EXPECT_EQ(out_, plain_);
}

TEST_F(Decode, Lz4ComesBack) {
  std::array<std::byte, 100> block;
  const int bytes = LZ4_compress_default(reinterpret_cast<const char*>(plain_.data()),
                                         reinterpret_cast<char*>(block.data()),
                                         static_cast<int>(kPageBytes), 100);
  ASSERT_GT(bytes, 0);
  const ByteView stored = std::span(block).first(static_cast<size_t>(bytes));
  EXPECT_TRUE(DecodePage(kSpace, kOffset, Loaded(Encoding::kLz4, stored), out_));
  EXPECT_EQ(out_, plain_);
  EXPECT_FALSE(DecodePage(kSpace, kOffset, Loaded(Encoding::kLz4, stored.first(5)), out_));
}

TEST_F(Decode, ZeroHasNoBytes) {
  EXPECT_TRUE(DecodePage(kSpace, kOffset, {Encoding::kZero, 0, {}, {}}, out_));
  EXPECT_EQ(out_, Filled(0));
  EXPECT_FALSE(DecodePage(kSpace, kOffset, {Encoding::kZero, 0, {}, plain_}, out_));
}

TEST_F(Decode, AFlippedBitAnywhereIsSeen) {
  for (const size_t at : {size_t{0}, size_t{2000}, kPageBytes - 1}) {
    Page flipped = plain_;
    flipped[at] ^= std::byte{1};
    EXPECT_FALSE(DecodePage(kSpace, kOffset, Loaded(Encoding::kRaw, flipped), out_)) << at;
  }
}

TEST_F(Decode, AnotherPlaceOrStampIsSeen) {
  const LoadedPage page = Loaded(Encoding::kRaw, plain_);
  EXPECT_FALSE(DecodePage(kSpace + 1, kOffset, page, out_));
  EXPECT_FALSE(DecodePage(kSpace, kOffset + 1, page, out_));
  LoadedPage older = page;
  older.stamp.sequence = 11;
  EXPECT_FALSE(DecodePage(kSpace, kOffset, older, out_));
}

TEST_F(Decode, UnknownEncodingsAndShortPagesAreRefused) {
  EXPECT_FALSE(DecodePage(kSpace, kOffset, Loaded(Encoding::kUnset, plain_), out_));
  EXPECT_FALSE(DecodePage(kSpace, kOffset, Loaded(static_cast<Encoding>(77), plain_), out_));
  EXPECT_FALSE(
      DecodePage(kSpace, kOffset, Loaded(Encoding::kRaw, ByteView(plain_).first(9)), out_));
}

}  // namespace
}  // namespace vswap::client
