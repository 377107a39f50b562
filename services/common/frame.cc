#include "services/common/frame.h"

#include <optional>

namespace vswap {
namespace {

constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kLengthDelimited = 2;
constexpr uint32_t kFixed32 = 5;
constexpr uint32_t kIdField = 1;

// Reads protobuf's wire format from the front of a buffer.
class WireReader {
 public:
  explicit WireReader(ByteView bytes) : rest_(bytes) {}

  bool done() const { return rest_.empty(); }
  ByteView rest() const { return rest_; }

  std::optional<uint64_t> Varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const uint64_t byte = std::to_integer<uint64_t>(rest_.front());
      rest_ = rest_.subspan(1);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        return value;
      }
    }
    return std::nullopt;
  }

  std::optional<ByteView> Bytes() {
    const std::optional<uint64_t> length = Varint();
    if (!length.has_value()) {
      return std::nullopt;
    }
    return Take(*length);
  }

  bool Skip(uint64_t wire_type) {
    switch (wire_type) {
      case kVarint:
        return Varint().has_value();
      case kFixed64:
        return Take(8).has_value();
      case kLengthDelimited:
        return Bytes().has_value();
      case kFixed32:
        return Take(4).has_value();
      default:
        return false;
    }
  }

 private:
  std::optional<ByteView> Take(uint64_t length) {
    if (length > rest_.size()) {
      return std::nullopt;
    }
    const ByteView taken = rest_.first(length);
    rest_ = rest_.subspan(length);
    return taken;
  }

  ByteView rest_;
};

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
    if (*tag == (kPagesField << 3 | kLengthDelimited)) {
      const std::optional<ByteView> pages = reader.Bytes();
      if (!pages.has_value() || !reader.done()) {
        return BadFrame("field pages must be complete and the last one");
      }
      frame.head = inner.first(head_bytes);
      frame.pages = *pages;
      return Status();
    }
    if (!reader.Skip(*tag & 7)) {
      return BadFrame("cut off in field " + std::to_string(*tag >> 3));
    }
  }
  frame.head = inner;
  return Status();
}

void AppendVarint(uint64_t value, std::string& out) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

size_t VarintBytes(uint64_t value) {
  size_t bytes = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++bytes;
  }
  return bytes;
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
    if (*tag == (kIdField << 3 | kVarint)) {
      const std::optional<uint64_t> id = reader.Varint();
      if (!id.has_value()) {
        return BadFrame("cut off in field id");
      }
      frame.id = *id;
    } else if (field > kIdField && (*tag & 7) == kLengthDelimited) {
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
  std::string out;
  out.reserve(32 + head.size());
  AppendVarint(kIdField << 3 | kVarint, out);
  AppendVarint(id, out);
  AppendVarint(uint64_t{field} << 3 | kLengthDelimited, out);
  AppendVarint(inner_bytes, out);
  out += head;
  if (pages_bytes > 0) {
    AppendVarint(kPagesField << 3 | kLengthDelimited, out);
    AppendVarint(pages_bytes, out);
  }
  return out;
}

}  // namespace vswap
