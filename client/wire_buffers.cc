#include "client/wire_buffers.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include <cstring>
#include <utility>

namespace vswap::client {

SendBuffers::SendBuffers(size_t buffers, size_t buffer_bytes)
    : memory_(buffers * buffer_bytes), buffers_(buffers) {
  for (size_t i = 0; i < buffers; ++i) {
    buffers_[i].bytes = memory_.bytes().subspan(i * buffer_bytes, buffer_bytes);
    free_.PushBack(buffers_[i]);
  }
}

SendBuffers::Buffer* SendBuffers::TryTake() {
  MutexLock lock(mutex_);
  return free_.PopFront();
}

void SendBuffers::PutBack(Buffer& buffer) {
  MutexLock lock(mutex_);
  free_.InsertAfter(nullptr, buffer);  // the one that is warm in the cache goes out first
}

grpc::ByteBuffer SendBuffers::Lend(Buffer& buffer, std::span<std::byte> part) {
  buffer.lender = shared_from_this();
  const auto release = [](void* lent) {
    auto& back = *static_cast<Buffer*>(lent);
    const std::shared_ptr<SendBuffers> lender = std::move(back.lender);
    lender->PutBack(back);
  };
  const grpc::Slice slice(part.data(), part.size(), release, &buffer);
  return grpc::ByteBuffer(&slice, 1);
}

StatusOr<ByteView> InOnePiece(grpc::ByteBuffer& message, std::span<std::byte> room) {
  // The one reader of gRPC's that gives the slices without copying them.
  grpc::ProtoBufferReader reader(&message);
  const size_t length = message.Length();
  const void* data = nullptr;
  int bytes = 0;
  size_t copied = 0;
  while (reader.Next(&data, &bytes)) {
    const ByteView slice(static_cast<const std::byte*>(data), static_cast<size_t>(bytes));
    if (slice.size() == length) {
      return slice;
    }
    if (slice.size() > room.size() - copied) {
      return InvalidField("message", std::to_string(length) + " bytes long",
                          "up to " + std::to_string(room.size()));
    }
    std::memcpy(room.data() + copied, slice.data(), slice.size());
    copied += slice.size();
  }
  return ByteView(room.first(copied));
}

}  // namespace vswap::client
