#include "services/common/frame.h"

#include <gtest/gtest.h>

#include "services/common/executor.h"
#include "services/common/thread_pool.h"
#include "vswap/v1/frontend.pb.h"

namespace vswap {
namespace {

ByteView View(const std::string& text) { return std::as_bytes(std::span(text)); }
std::string Text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

v1::ExchangeRequest MakeRequest() {
  v1::ExchangeRequest request;
  request.set_id(70000);
  v1::StoreRequest& store = *request.mutable_store();
  store.mutable_header()->set_space(7);
  store.mutable_header()->set_sequence(1234567);
  store.add_extents()->set_pages(2);
  store.set_encodings("\1\3");
  store.add_lengths(4096);
  store.add_lengths(5);
  store.add_checksums(0xffffffff);
  store.set_pages(std::string(4096, 'a') + "bbbbb");
  return request;
}

TEST(Frame, CutsWhatProtobufWrites) {
  const v1::ExchangeRequest request = MakeRequest();
  const std::string message = request.SerializeAsString();
  const StatusOr<Frame> frame = SplitFrame(View(message));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(frame->id, 70000u);
  EXPECT_EQ(frame->field, unsigned{v1::ExchangeRequest::kStoreFieldNumber});
  EXPECT_EQ(Text(frame->pages), request.store().pages());
  v1::StoreRequest head;
  ASSERT_TRUE(head.ParseFromArray(frame->head.data(), static_cast<int>(frame->head.size())));
  EXPECT_TRUE(head.pages().empty());
  head.set_pages(request.store().pages());
  EXPECT_EQ(head.SerializeAsString(), request.store().SerializeAsString());
}

TEST(Frame, IsMadeAsProtobufWouldWriteIt) {
  v1::ExchangeRequest request = MakeRequest();
  const std::string expected = request.SerializeAsString();
  const std::string pages = request.store().pages();
  request.mutable_store()->clear_pages();
  const std::string made = FrameHead(request.id(), v1::ExchangeRequest::kStoreFieldNumber,
                                     request.store().SerializeAsString(), pages.size()) +
                           pages;
  EXPECT_EQ(made, expected);
}

TEST(Frame, WithoutPagesIsWholeInItsHead) {
  v1::ExchangeRequest request;
  request.set_id(1);
  request.mutable_load()->mutable_header()->set_space(3);
  EXPECT_EQ(
      FrameHead(1, v1::ExchangeRequest::kLoadFieldNumber, request.load().SerializeAsString(), 0),
      request.SerializeAsString());
}

TEST(Frame, CutOffAnywhereIsRefusedOrStillParses) {
  const std::string message = MakeRequest().SerializeAsString();
  for (size_t length = 0; length < message.size(); ++length) {
    const StatusOr<Frame> frame = SplitFrame(View(message).first(length));
    EXPECT_FALSE(frame.ok()) << length;
    EXPECT_EQ(frame.status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(Frame, PagesBeforeOtherFieldsAreRefused) {
  v1::StoreRequest pages;
  pages.set_pages("abc");
  v1::StoreRequest header;
  header.mutable_header()->set_space(1);
  const std::string inner = pages.SerializeAsString() + header.SerializeAsString();
  const StatusOr<Frame> frame = SplitFrame(View(FrameHead(1, 2, inner, 0)));
  ASSERT_FALSE(frame.ok());
  EXPECT_NE(MessageOf(frame.status()).find("pages"), std::string_view::npos);
}

TEST(Frame, NoiseIsNeverReadOutOfBounds) {
  SeededRandom random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string noise(random.Below(64), '\0');
    for (char& byte : noise) {
      byte = static_cast<char>(random.Below(256));
    }
    const StatusOr<Frame> frame = SplitFrame(View(noise));
    if (frame.ok()) {
      EXPECT_LE(frame->head.size() + frame->pages.size(), noise.size());
    }
  }
}

}  // namespace
}  // namespace vswap
