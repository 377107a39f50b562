#pragma once

#include <rocksdb/slice.h>

#include <array>
#include <optional>
#include <span>

#include "services/common/ids.h"
#include "services/common/page.h"
#include "services/store/byte_order.h"

// How pages lie in RocksDB. Column families `pages` and `names` have the same keys:
//
//    0        8        16        24
//    +--------+---------+---------+
//    | space  | offset  | version |     big endian: key order is name order
//    +--------+---------+---------+
//
// Value in `pages`, little endian:
//
//    0        1          2        4       12         20         24           28
//    +--------+----------+--------+-------+----------+----------+------------+-- - - --+
//    | format | encoding | length | stamp | stamp    | page     | record     | bytes   |
//    | = 1    | 1 raw    |        | token | sequence | checksum | checksum   | as they |
//    |        | 3 LZ4    |        |       |          |          |            | came    |
//    +--------+----------+--------+-------+----------+----------+------------+-- - - --+
//
// The record checksum (services/common/checksum.h) covers the key, every field but `format`, and
// the bytes.
//
// Value in `names`: the length again, 2 bytes. It makes counting, listing and deleting free of
// reads of pages.
namespace vswap {

inline constexpr size_t kPageKeyBytes = 24;
inline constexpr size_t kRecordHeadBytes = 28;
inline constexpr uint8_t kRecordFormat = 1;

using PageKey = std::array<char, kPageKeyBytes>;

inline PageKey EncodePageKey(const PageName& name) {
  PageKey key;
  PutBigEndian(name.space, key.data());
  PutBigEndian(name.offset, key.data() + 8);
  PutBigEndian(name.version, key.data() + 16);
  return key;
}

inline std::optional<PageName> DecodePageKey(std::string_view key) {
  if (key.size() != kPageKeyBytes) {
    return std::nullopt;
  }
  return PageName{GetBigEndian<uint64_t>(key.data()), GetBigEndian<uint64_t>(key.data() + 8),
                  GetBigEndian<uint64_t>(key.data() + 16)};
}

struct RecordHead {
  Encoding encoding = Encoding::kUnset;
  uint16_t stored_bytes = 0;
  Stamp stamp;
  uint32_t page_checksum = 0;
  uint32_t record_checksum = 0;
};

using RecordHeadBytes = std::array<char, kRecordHeadBytes>;

inline RecordHeadBytes EncodeRecordHead(const RecordHead& head) {
  RecordHeadBytes bytes;
  bytes[0] = static_cast<char>(kRecordFormat);
  bytes[1] = static_cast<char>(head.encoding);
  PutLittleEndian(head.stored_bytes, bytes.data() + 2);
  PutLittleEndian(head.stamp.token, bytes.data() + 4);
  PutLittleEndian(head.stamp.sequence, bytes.data() + 12);
  PutLittleEndian(head.page_checksum, bytes.data() + 20);
  PutLittleEndian(head.record_checksum, bytes.data() + 24);
  return bytes;
}

// Nothing where the value cannot be a record of this format. The checksum is the caller's to
// verify.
inline std::optional<RecordHead> DecodeRecordHead(std::string_view value) {
  if (value.size() <= kRecordHeadBytes || static_cast<uint8_t>(value[0]) != kRecordFormat) {
    return std::nullopt;
  }
  RecordHead head;
  head.encoding = static_cast<Encoding>(value[1]);
  head.stored_bytes = GetLittleEndian<uint16_t>(value.data() + 2);
  head.stamp.token = GetLittleEndian<uint64_t>(value.data() + 4);
  head.stamp.sequence = GetLittleEndian<uint64_t>(value.data() + 12);
  head.page_checksum = GetLittleEndian<uint32_t>(value.data() + 20);
  head.record_checksum = GetLittleEndian<uint32_t>(value.data() + 24);
  if (head.stored_bytes != value.size() - kRecordHeadBytes) {
    return std::nullopt;
  }
  return head;
}

inline ByteView RecordBytes(std::string_view value) {
  return std::as_bytes(std::span(value)).subspan(kRecordHeadBytes);
}

inline std::array<char, 2> EncodeLength(uint16_t stored_bytes) {
  std::array<char, 2> bytes;
  PutLittleEndian(stored_bytes, bytes.data());
  return bytes;
}

inline std::optional<uint16_t> DecodeLength(std::string_view value) {
  if (value.size() != 2) {
    return std::nullopt;
  }
  return GetLittleEndian<uint16_t>(value.data());
}

inline rocksdb::Slice AsSlice(std::span<const char> bytes) { return {bytes.data(), bytes.size()}; }
inline std::string_view AsView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

}  // namespace vswap
