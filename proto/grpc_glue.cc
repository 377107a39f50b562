#include "proto/grpc_glue.h"

#include <cstring>

#include "vswap/v1/common.pb.h"

namespace vswap {

grpc::Status ToGrpc(const Status& status) {
  if (status.ok()) {
    return grpc::Status();
  }
  v1::Error error;
  error.set_code(static_cast<uint32_t>(status.code()));
  error.set_reason(static_cast<v1::ErrorReason>(ReasonOf(status)));
  const std::string message(MessageOf(status));
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      error.SerializeAsString());
}

Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) {
    return Status();
  }
  v1::Error error;
  if (!error.ParseFromString(status.error_details()) || !v1::ErrorReason_IsValid(error.reason())) {
    error.Clear();
  }
  return MakeError(static_cast<StatusCode>(status.error_code()),
                   static_cast<ErrorReason>(error.reason()), status.error_message());
}

OwnedMessage::OwnedMessage(const grpc::ByteBuffer& buffer) {
  if (!buffer.TrySingleSlice(&slice_).ok()) {
    buffer.DumpToSingleSlice(&slice_);
  }
}

grpc::ByteBuffer MakeMessage(const std::string& head, const std::vector<ByteView>& pages) {
  size_t bytes = head.size();
  for (const ByteView page : pages) {
    bytes += page.size();
  }
  grpc::Slice slice(bytes);
  auto* out = const_cast<uint8_t*>(slice.begin());
  std::memcpy(out, head.data(), head.size());
  out += head.size();
  for (const ByteView page : pages) {
    if (!page.empty()) {
      std::memcpy(out, page.data(), page.size());
      out += page.size();
    }
  }
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace vswap
