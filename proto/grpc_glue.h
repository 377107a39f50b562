#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <string>
#include <vector>

#include "services/common/page.h"
#include "services/common/status.h"

namespace vswap {

// A status on the wire: code and message as gRPC's, and vswap.v1.Error in the details, which
// carries the reason.
grpc::Status ToGrpc(const Status& status);
Status FromGrpc(const grpc::Status& status);

// A received message as one piece of memory, which the slice owns. Copies where gRPC has it in
// several pieces.
class OwnedMessage {
 public:
  explicit OwnedMessage(const grpc::ByteBuffer& buffer);
  ByteView bytes() const {
    return {reinterpret_cast<const std::byte*>(slice_.begin()), slice_.size()};
  }

 private:
  grpc::Slice slice_;
};

// A message of a head (copied) and page bytes (gathered by one copy; views that are borrowed for
// the call).
grpc::ByteBuffer MakeMessage(const std::string& head, const std::vector<ByteView>& pages);

}  // namespace vswap
