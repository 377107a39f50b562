#include "client/wire_buffers.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace vswap::client {
namespace {

TEST(SendBuffers, WhatIsLentComesBackWhenTheMessageIsGone) {
  const auto buffers = std::make_shared<SendBuffers>(1, 4096);
  SendBuffers::Buffer* const buffer = buffers->TryTake();
  ASSERT_NE(buffer, nullptr);
  EXPECT_EQ(buffers->TryTake(), nullptr);
  grpc::ByteBuffer message = buffers->Lend(*buffer, buffer->bytes.subspan(10, 100));
  EXPECT_EQ(message.Length(), 100u);
  {
    const grpc::ByteBuffer copy(message);
    message.Clear();
    EXPECT_EQ(buffers->TryTake(), nullptr);  // gRPC still has it
  }
  EXPECT_EQ(buffers->TryTake(), buffer);
}

TEST(SendBuffers, TheMemoryOutlivesItsOwnerWhileItIsLent) {
  auto buffers = std::make_shared<SendBuffers>(2, 4096);
  const std::weak_ptr<SendBuffers> alive = buffers;
  SendBuffers::Buffer* const buffer = buffers->TryTake();
  buffer->bytes[0] = std::byte{7};
  {
    grpc::ByteBuffer message = buffers->Lend(*buffer, buffer->bytes.first(1));
    buffers = nullptr;
    EXPECT_FALSE(alive.expired());
    grpc::Slice slice;
    ASSERT_TRUE(message.DumpToSingleSlice(&slice).ok());
    EXPECT_EQ(*slice.begin(), 7);
  }
  EXPECT_TRUE(alive.expired());
}

class InOnePieceTest : public testing::Test {
 protected:
  static std::string Text(const StatusOr<ByteView>& bytes) {
    return bytes.ok() ? std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size())
                      : std::string(MessageOf(bytes.status()));
  }
  std::array<std::byte, 64> room_;
};

TEST_F(InOnePieceTest, OneSliceIsNotCopied) {
  const grpc::Slice slice(std::string(100, 'x'));  // longer than the room
  grpc::ByteBuffer message(&slice, 1);
  EXPECT_EQ(Text(InOnePiece(message, room_)), std::string(100, 'x'));
}

TEST_F(InOnePieceTest, SeveralAreJoinedInTheRoom) {
  // gRPC joins short ones itself.
  const std::array<grpc::Slice, 2> slices = {grpc::Slice(std::string(30, 'x')),
                                             grpc::Slice(std::string(34, 'y'))};
  grpc::ByteBuffer message(slices.data(), slices.size());
  const StatusOr<ByteView> bytes = InOnePiece(message, room_);
  EXPECT_EQ(Text(bytes), std::string(30, 'x') + std::string(34, 'y'));
  EXPECT_EQ(bytes->data(), room_.data());
}

TEST_F(InOnePieceTest, MoreThanTheRoomIsRefused) {
  const std::array<grpc::Slice, 2> slices = {grpc::Slice(std::string(40, 'x')),
                                             grpc::Slice(std::string(40, 'y'))};
  grpc::ByteBuffer message(slices.data(), slices.size());
  EXPECT_EQ(Text(InOnePiece(message, room_)), "message is 80 bytes long, allowed: up to 64");
}

TEST_F(InOnePieceTest, AnEmptyMessageIsEmpty) {
  const grpc::Slice slice{std::string()};
  grpc::ByteBuffer message(&slice, 1);
  EXPECT_EQ(Text(InOnePiece(message, room_)), "");
}

}  // namespace
}  // namespace vswap::client
