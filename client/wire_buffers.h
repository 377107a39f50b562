#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <vector>

#include "client/page_memory.h"
#include "services/common/intrusive_list.h"
#include "services/common/mutex.h"
#include "services/common/page.h"
#include "services/common/status.h"

namespace vswap::client {

// The memory in which the messages of one stream are made. gRPC borrows it, as a slice, until the
// bytes are in the kernel's socket or the connection is gone, which may be later than the stream's
// end and than the answer to the request: so these are copies, and the caller's pages are never
// lent. A stream has one write under way; a few buffers are enough for what gRPC lets go of late.
// Thread-safe. Lives until the last buffer is back.
class SendBuffers : public std::enable_shared_from_this<SendBuffers> {
 public:
  struct Buffer : ListNode<Buffer, struct InFree> {
    std::span<std::byte> bytes;
    std::shared_ptr<SendBuffers> lender;  // while gRPC has it
  };

  SendBuffers(size_t buffers, size_t buffer_bytes);

  // Null where gRPC has them all: try again soon.
  Buffer* TryTake();
  void PutBack(Buffer& buffer);
  // A message that is this part of the buffer, which comes back by itself when gRPC has let go of
  // it.
  grpc::ByteBuffer Lend(Buffer& buffer, std::span<std::byte> part);

 private:
  const PageMemory memory_;
  std::vector<Buffer> buffers_;
  Mutex mutex_;
  IntrusiveList<Buffer, InFree> free_ GUARDED_BY(mutex_);
};

// A received message as one piece of memory: gRPC's own where it has it so, else copied into
// `room`. INVALID_ARGUMENT: longer than that.
StatusOr<ByteView> InOnePiece(grpc::ByteBuffer& message, std::span<std::byte> room);

}  // namespace vswap::client
