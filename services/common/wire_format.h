#pragma once

#include <cstring>
#include <optional>

#include "services/common/page.h"

// protobuf's wire format (protobuf.dev/programming-guides/encoding), read and written in place: for
// the few messages of which there is one a batch, where protobuf's own objects would allocate.
namespace vswap {

enum class WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

constexpr uint64_t WireTag(uint32_t field, WireType type) {
  return uint64_t{field} << 3 | static_cast<uint32_t>(type);
}

constexpr size_t VarintBytes(uint64_t value) {
  size_t bytes = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++bytes;
  }
  return bytes;
}

// Reads from the front of a buffer. Nothing is thrown or asserted: what is cut off is nullopt.
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

  std::optional<uint32_t> Fixed32() {
    const std::optional<ByteView> bytes = Take(4);
    if (!bytes) {
      return std::nullopt;
    }
    uint32_t value = 0;
    std::memcpy(&value, bytes->data(), sizeof(value));  // little endian, as this machine
    return value;
  }

  std::optional<ByteView> Bytes() {
    const std::optional<uint64_t> length = Varint();
    return length ? Take(*length) : std::nullopt;
  }

  // Over the value of a field with this tag.
  bool Skip(uint64_t tag) {
    switch (static_cast<WireType>(tag & 7)) {
      case WireType::kVarint:
        return Varint().has_value();
      case WireType::kFixed64:
        return Take(8).has_value();
      case WireType::kBytes:
        return Bytes().has_value();
      case WireType::kFixed32:
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

// What is written goes to one of these two, so that lengths, which stand before their contents, are
// counted by the very code that writes.
class WireSizer {
 public:
  void Varint(uint64_t value) { bytes_ += VarintBytes(value); }
  void Fixed32(uint32_t) { bytes_ += 4; }
  void Bytes(ByteView bytes) { bytes_ += bytes.size(); }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

// Writes from `out` on; the caller has counted that there is room.
class WireWriter {
 public:
  explicit WireWriter(std::byte* out) : out_(out) {}

  void Varint(uint64_t value) {
    while (value >= 0x80) {
      *out_++ = static_cast<std::byte>(value | 0x80);
      value >>= 7;
    }
    *out_++ = static_cast<std::byte>(value);
  }
  void Fixed32(uint32_t value) {
    std::memcpy(out_, &value, sizeof(value));
    out_ += sizeof(value);
  }
  void Bytes(ByteView bytes) {
    if (!bytes.empty()) {
      std::memcpy(out_, bytes.data(), bytes.size());
      out_ += bytes.size();
    }
  }
  std::byte* end() const { return out_; }

 private:
  std::byte* out_;
};

// As proto3: a field of value 0 is left out.
template <typename Out>
void PutVarint(Out& out, uint32_t field, uint64_t value) {
  if (value != 0) {
    out.Varint(WireTag(field, WireType::kVarint));
    out.Varint(value);
  }
}

template <typename Out>
void PutBytes(Out& out, uint32_t field, ByteView bytes) {
  if (!bytes.empty()) {
    out.Varint(WireTag(field, WireType::kBytes));
    out.Varint(bytes.size());
    out.Bytes(bytes);
  }
}

// A message, a packed list or what else has a length; `body` writes it to the sink that it is given
// and is called twice.
template <typename Out, typename Body>
void PutNested(Out& out, uint32_t field, const Body& body) {
  WireSizer sizer;
  body(sizer);
  out.Varint(WireTag(field, WireType::kBytes));
  out.Varint(sizer.bytes());
  body(out);
}

}  // namespace vswap
