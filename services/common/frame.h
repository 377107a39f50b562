#pragma once

#include <string>

#include "services/common/page.h"
#include "services/common/status.h"

namespace vswap {

// Cutting and making messages whose page bytes never go through protobuf: ExchangeRequest and
// ExchangeResponse of vswap.v1 (proto/vswap/v1/frontend.proto). On the wire such a message is plain
// protobuf (protobuf.dev/programming-guides/encoding):
//
//   id (field 1, varint) | tag of the oneof's field | length | head ... | tag of `pages` | length |
//   page bytes
//
// where the head holds the inner message's fields before `pages`, and `pages` (field 15), where
// there is one, is its last.
inline constexpr uint32_t kPagesField = 15;

struct Frame {
  uint64_t id = 0;
  uint32_t field = 0;  // of the oneof: which message the head is
  ByteView head;       // parse as that message; its field `pages` stays empty
  ByteView pages;
};

// The parts borrow from `message`. INVALID_ARGUMENT: not such a message, or `pages` is not its last
// field.
StatusOr<Frame> SplitFrame(ByteView message);

// What precedes the page bytes: the whole message where there are none. `head` is the inner
// message, serialized.
std::string FrameHead(uint64_t id, uint32_t field, const std::string& head, size_t pages_bytes);

}  // namespace vswap
