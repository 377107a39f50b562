#include "services/common/frame.h"

#include <optional>

#include "services/common/wire_format.h"

namespace vswap {
namespace {

constexpr uint32_t kIdField = 1;

Status BadFrame(std::string_view what) {
  return MakeError(StatusCode::kInvalidArgument, "message: " + std::string(what));
}

// Cuts the inner message at its field `pages`.
Status SplitInner(ByteView inner, Frame& frame) {
  WireReader reader(inner);
  while (!reader.done()) {
    const size_t head_bytes = inner.size() - reader.rest().size();
    const std::optional<uint64_t> tag = reader.Varint();
    if (!tag.has_value()) {
      return BadFrame("cut off in a field's tag");
    }
    if (*tag == WireTag(kPagesField, WireType::kBytes)) {
      const std::optional<ByteView> pages = reader.Bytes();
      if (!pages.has_value() || !reader.done()) {
        return BadFrame("field pages must be complete and the last one");
      }
      frame.head = inner.first(head_bytes);
      frame.pages = *pages;
      return Status();
    }
    if (!reader.Skip(*tag)) {
      return BadFrame("cut off in field " + std::to_string(*tag >> 3));
    }
  }
  frame.head = inner;
  return Status();
}

}  // namespace

StatusOr<Frame> SplitFrame(ByteView message) {
  WireReader reader(message);
  Frame frame;
  while (!reader.done()) {
    const std::optional<uint64_t> tag = reader.Varint();
    if (!tag.has_value()) {
      return BadFrame("cut off in a field's tag");
    }
    const auto field = static_cast<uint32_t>(*tag >> 3);
    if (*tag == WireTag(kIdField, WireType::kVarint)) {
      const std::optional<uint64_t> id = reader.Varint();
      if (!id.has_value()) {
        return BadFrame("cut off in field id");
      }
      frame.id = *id;
    } else if (field > kIdField && *tag == WireTag(field, WireType::kBytes)) {
      const std::optional<ByteView> inner = reader.Bytes();
      if (!inner.has_value() || frame.field != 0) {
        return BadFrame("one complete request or result expected");
      }
      frame.field = field;
      VSWAP_RETURN_IF_ERROR(SplitInner(*inner, frame));
    } else {
      return BadFrame("unknown field " + std::to_string(*tag >> 3));
    }
  }
  if (frame.field == 0) {
    return BadFrame("no request or result in it");
  }
  return frame;
}

std::string FrameHead(uint64_t id, uint32_t field, const std::string& head, size_t pages_bytes) {
  size_t inner_bytes = head.size();
  if (pages_bytes > 0) {
    inner_bytes += 1 + VarintBytes(pages_bytes) + pages_bytes;
  }
  const auto put = [&](auto& out) {
    PutVarint(out, kIdField, id);
    out.Varint(WireTag(field, WireType::kBytes));
    out.Varint(inner_bytes);
    out.Bytes(std::as_bytes(std::span(head)));
    if (pages_bytes > 0) {
      out.Varint(WireTag(kPagesField, WireType::kBytes));
      out.Varint(pages_bytes);
    }
  };
  WireSizer sizer;
  put(sizer);
  std::string out(sizer.bytes(), '\0');
  WireWriter writer(reinterpret_cast<std::byte*>(out.data()));
  put(writer);
  return out;
}

}  // namespace vswap
