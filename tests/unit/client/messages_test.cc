#include "client/messages.h"

#include <gtest/gtest.h>
#include <lz4.h>

#include <algorithm>
#include <array>

#include "services/common/checksum.h"
#include "services/common/frame.h"

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

std::string Written(const Request& request) {
  std::vector<std::byte> room(kRequestHeadBytesMax + WirePageBytes(request));
  const std::span<std::byte> message = WriteRequest(kHeader, request, room);
  EXPECT_EQ(message.data() + message.size(), room.data() + room.size());
  return {reinterpret_cast<const char*>(message.data()), message.size()};
}

TEST(Messages, AStoreIsWhatProtobufReads) {
  const Page data = Filled(1);
  const Page zeros = Filled(0);
  Request request;
  request.kind = RequestKind::kStore;
  request.lane = Lane::kPageOut;
  request.shard = 2;
  request.sequence = 12;
  // The slots of pages 2 and 0 of the call's bytes.
  const std::array<Page, 3> bytes = {zeros, Filled(9), data};
  request.bytes = bytes.front().data();
  request.Add({{100, 1}, 2});
  request.Add({{7, 1}, 0});
  PrepareStore(kHeader.space, kHeader.token, request);
  v1::ExchangeRequest parsed;
  ASSERT_TRUE(parsed.ParseFromString(Written(request)));
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
  request.Add({{100, 30}, 0});
  const auto made = [&](RequestKind kind) {
    request.kind = kind;
    v1::ExchangeRequest parsed;
    EXPECT_TRUE(parsed.ParseFromString(Written(request)));
    return parsed;
  };
  EXPECT_EQ(made(RequestKind::kLoad).load().extents(0).pages(), 30u);
  EXPECT_EQ(made(RequestKind::kFree).free().extents(0).pages(), 30u);
  EXPECT_EQ(made(RequestKind::kPrefetch).prefetch().extents(0).pages(), 30u);
  EXPECT_EQ(made(RequestKind::kExtents).extents().extent().offset(), 100u);
  EXPECT_EQ(made(RequestKind::kExtents).extents().header().sequence(), 12u);
}

TEST(Messages, TheLargestHeadFits) {
  Request request;
  request.kind = RequestKind::kStore;
  request.lane = Lane::kPageOut;
  request.shard = kShardCountMax - 1;
  request.sequence = ~Sequence{0};
  const std::array<Page, 2> data = {Filled(1), Filled(2)};
  request.bytes = data.front().data();
  for (uint64_t i = 0; i < Request::kPiecesMax; ++i) {
    request.Add({{kSpacePagesMax - 4 - 4 * i, 2}, 0});
  }
  static_assert(2 * Request::kPiecesMax == kBatchPagesMax);
  for (uint64_t i = 0; i < kBatchPagesMax; ++i) {
    request.encodings.push_back(Encoding::kRaw);
    request.checksums.push_back(~0u);
  }
  std::vector<std::byte> room(kRequestHeadBytesMax + kBatchPagesMax * kPageBytes);
  const SendHeader header{~SpaceId{0}, ~Token{0}, ~Epoch{0}, ~Sequence{0}};
  const std::span<std::byte> message = WriteRequest(header, request, room);
  ASSERT_GE(message.data(), room.data());
  v1::ExchangeRequest parsed;
  ASSERT_TRUE(parsed.ParseFromArray(message.data(), static_cast<int>(message.size())));
  EXPECT_EQ(parsed.store().extents_size(), 256);
  EXPECT_EQ(parsed.store().pages().size(), kBatchPagesMax * kPageBytes);
  EXPECT_EQ(parsed.store().header().token(), ~Token{0});
}

TEST(Messages, AnswersAreWhatProtobufWrites) {
  v1::ExchangeResponse response;
  response.set_id(300);
  v1::LoadResponse& load = *response.mutable_load();
  load.set_shard_epoch(77);
  for (uint32_t i = 0; i < kBatchPagesMax; ++i) {
    load.mutable_codes()->push_back(1);
    load.mutable_encodings()->push_back(static_cast<char>(1 + i % 3));
    load.add_lengths(i * 16);
    load.add_checksums(~i);
    load.add_stamp_tokens(uint64_t{i} << 40);
    load.add_stamp_sequences(~uint64_t{i});
  }
  load.set_pages("bytes");
  const std::string message = response.SerializeAsString();
  Answer answer;
  ASSERT_TRUE(ParseAnswer(View(message), answer).ok());
  EXPECT_EQ(answer.id, 300u);
  EXPECT_EQ(answer.kind, RequestKind::kLoad);
  EXPECT_EQ(answer.epoch, 77u);
  ASSERT_EQ(answer.codes.size(), kBatchPagesMax);
  ASSERT_EQ(answer.stamp_sequences.size(), kBatchPagesMax);
  for (uint32_t i = 0; i < kBatchPagesMax; ++i) {
    EXPECT_EQ(answer.encodings[i], static_cast<Encoding>(1 + i % 3));
    EXPECT_EQ(answer.lengths[i], i * 16);
    EXPECT_EQ(answer.checksums[i], ~i);
    EXPECT_EQ(answer.stamp_tokens[i], uint64_t{i} << 40);
    EXPECT_EQ(answer.stamp_sequences[i], ~uint64_t{i});
  }
  EXPECT_EQ(answer.pages.size(), 5u);

  load.add_lengths(1);
  const std::string longer = response.SerializeAsString();
  EXPECT_EQ(ParseAnswer(View(longer), answer).code(), StatusCode::kInvalidArgument);

  response.Clear();
  response.set_id(1);
  response.mutable_free()->set_shard_epoch(78);
  response.mutable_free()->set_freed_pages(5);
  const std::string freed = response.SerializeAsString();
  ASSERT_TRUE(ParseAnswer(View(freed), answer).ok());
  EXPECT_EQ(answer.kind, RequestKind::kFree);
  EXPECT_EQ(answer.epoch, 78u);
  EXPECT_TRUE(answer.codes.empty());  // nothing is left of the answer before
}

TEST(Messages, EveryCutAnswerIsRefusedOrMissed) {
  v1::ExchangeResponse response;
  response.set_id(4);
  v1::LoadResponse& load = *response.mutable_load();
  load.set_shard_epoch(300);
  load.set_codes("\1");
  load.set_encodings("\2");
  load.add_lengths(0);
  load.add_checksums(7);
  load.add_stamp_tokens(300);
  load.add_stamp_sequences(300);
  Request request;
  request.kind = RequestKind::kLoad;
  request.Add({{0, 1}, 0});
  const std::string inner = load.SerializeAsString();
  for (size_t bytes = 0; bytes <= inner.size(); ++bytes) {
    const std::string message = FrameHead(4, 3, inner.substr(0, bytes), 0);
    Answer answer;
    const bool good = ParseAnswer(View(message), answer).ok() && CheckAnswer(request, answer).ok();
    EXPECT_EQ(good, bytes == inner.size()) << bytes;
  }
}

TEST(Messages, AnErrorKeepsItsReason) {
  v1::ExchangeResponse response;
  response.set_id(4);
  response.mutable_error()->set_code(10);
  response.mutable_error()->set_reason(v1::ERROR_REASON_FENCED);
  response.mutable_error()->set_message("fenced");
  const std::string message = response.SerializeAsString();
  Answer answer;
  ASSERT_TRUE(ParseAnswer(View(message), answer).ok());
  EXPECT_EQ(answer.id, 4u);
  EXPECT_EQ(answer.status.code(), StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(answer.status), ErrorReason::kFenced);
  EXPECT_EQ(MessageOf(answer.status), "fenced");
}

TEST(Messages, AnErrorWithCodeOkIsStillAnError) {
  v1::ExchangeResponse response;
  response.mutable_error()->set_message("odd");
  const std::string message = response.SerializeAsString();
  Answer answer;
  ASSERT_TRUE(ParseAnswer(View(message), answer).ok());
  EXPECT_FALSE(answer.status.ok());
}

class AnswerCheck : public testing::Test {
 protected:
  AnswerCheck() {
    request_.kind = RequestKind::kLoad;
    request_.Add({{0, 2}, 0});
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
    Answer answer;
    const Status parsed = ParseAnswer(View(message), answer);
    return parsed.ok() ? CheckAnswer(request_, answer).code() : parsed.code();
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
  request_.Add({{2, 1}, 2});
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
  Answer answer;
  EXPECT_EQ(ParseAnswer(View(noise), answer).code(), StatusCode::kInvalidArgument);
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
