#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "services/cluster/log_rules.h"
#include "services/common/checksum.h"
#include "services/store/byte_order.h"

// How the table log lies in RocksDB's column family `log`. Keys are big endian, values little
// endian; each value ends with the CRC32C of its key and of what is before, so that a record that
// changed in memory or on its way is found.
//
//    key                                          value
//    0       4    5
//    +-------+----+ +-------+---------------+---------------+-------------------+-----+ | shard |
//    'm'|                               | epoch | base sequence | last sequence | versions reserved
//    | crc |
//    +-------+----+ +-------+---------------+---------------+-------------------+-----+
//                                                 0       8               16              24 32 36
//    0       4    5       13       21
//    +-------+----+-------+--------+              +------+-----------+-----+
//    | shard | 's'| space | offset |              | word | companion | crc |
//    +-------+----+-------+--------+              +------+-----------+-----+
//                                                 0      8           12    16
//    0       4    5       13
//    +-------+----+-------+                       +-------+-----+
//    | shard | 't'| space |                       | token | crc |
//    +-------+----+-------+                       +-------+-----+
//                                                 0       8     12
//
//    0       4    5       13      21         29
//    +-------+----+-------+-------+----------+    +-- - - --+-----+
//    | shard | 'r'| space | token | sequence |    | result  | crc |
//    +-------+----+-------+-------+----------+    +-- - - --+-----+
//
// A result is a serialized vswap.v1.RequestResult of at most 8192 bytes.
//
// `base sequence` is the last sequence of older epochs: a repeat of one of those is no repeat of
// this owner's.
namespace vswap {

inline constexpr size_t kSlotKeyBytes = 21;
inline constexpr size_t kTokenKeyBytes = 13;
inline constexpr size_t kMetaKeyBytes = 5;
inline constexpr size_t kRequestKeyBytes = 29;

inline std::array<char, kMetaKeyBytes> EncodeShardKey(ShardId shard, char kind) {
  std::array<char, kMetaKeyBytes> key;
  PutBigEndian(shard, key.data());
  key[4] = kind;
  return key;
}

inline std::array<char, kMetaKeyBytes> EncodeMetaKey(ShardId shard) {
  return EncodeShardKey(shard, 'm');
}

inline std::array<char, kSlotKeyBytes> EncodeSlotKey(ShardId shard, const SlotName& slot) {
  std::array<char, kSlotKeyBytes> key;
  PutBigEndian(shard, key.data());
  key[4] = 's';
  PutBigEndian(slot.space, key.data() + 5);
  PutBigEndian(slot.offset, key.data() + 13);
  return key;
}

inline std::array<char, kTokenKeyBytes> EncodeTokenKey(ShardId shard, SpaceId space) {
  std::array<char, kTokenKeyBytes> key;
  PutBigEndian(shard, key.data());
  key[4] = 't';
  PutBigEndian(space, key.data() + 5);
  return key;
}

inline uint32_t LogRecordCrc(std::string_view key, std::string_view body) {
  return Crc32c(Crc32c(0, std::as_bytes(std::span(key))), std::as_bytes(std::span(body)));
}

// Puts the checksum into the last four bytes of a value.
template <size_t kBytes>
void SealLogValue(std::string_view key, std::array<char, kBytes>& value) {
  PutLittleEndian(LogRecordCrc(key, {value.data(), kBytes - 4}), value.data() + kBytes - 4);
}

inline bool IsSoundLogValue(std::string_view key, std::string_view value, size_t bytes) {
  return value.size() == bytes && LogRecordCrc(key, value.substr(0, bytes - 4)) ==
                                      GetLittleEndian<uint32_t>(value.data() + bytes - 4);
}

inline std::array<char, 36> EncodeMetaValue(std::string_view key, const LogPosition& meta) {
  std::array<char, 36> value;
  PutLittleEndian(meta.epoch, value.data());
  PutLittleEndian(meta.base_sequence, value.data() + 8);
  PutLittleEndian(meta.last_sequence, value.data() + 16);
  PutLittleEndian(meta.versions_reserved, value.data() + 24);
  SealLogValue(key, value);
  return value;
}

inline std::optional<LogPosition> DecodeMetaValue(std::string_view key, std::string_view value) {
  if (!IsSoundLogValue(key, value, 36)) {
    return std::nullopt;
  }
  return LogPosition{
      GetLittleEndian<uint64_t>(value.data()), GetLittleEndian<uint64_t>(value.data() + 8),
      GetLittleEndian<uint64_t>(value.data() + 16), GetLittleEndian<uint64_t>(value.data() + 24)};
}

inline std::array<char, 16> EncodeSlotValue(std::string_view key, const SlotRecord& slot) {
  std::array<char, 16> value;
  PutLittleEndian(slot.word, value.data());
  PutLittleEndian(slot.companion, value.data() + 8);
  SealLogValue(key, value);
  return value;
}

inline SlotName DecodeSlotKey(std::string_view key) {
  return {GetBigEndian<uint64_t>(key.data() + 5), GetBigEndian<uint64_t>(key.data() + 13)};
}

inline std::optional<SlotRecord> DecodeSlot(std::string_view key, std::string_view value) {
  if (key.size() != kSlotKeyBytes || !IsSoundLogValue(key, value, 16)) {
    return std::nullopt;
  }
  const SlotName name = DecodeSlotKey(key);
  return SlotRecord{name.space, name.offset, GetLittleEndian<uint64_t>(value.data()),
                    GetLittleEndian<uint32_t>(value.data() + 8)};
}

inline std::array<char, kRequestKeyBytes> EncodeRequestKey(ShardId shard, const RequestName& name) {
  std::array<char, kRequestKeyBytes> key;
  PutBigEndian(shard, key.data());
  key[4] = 'r';
  PutBigEndian(name.space, key.data() + 5);
  PutBigEndian(name.token, key.data() + 13);
  PutBigEndian(name.sequence, key.data() + 21);
  return key;
}

inline std::string EncodeRequestValue(std::string_view key, std::string_view result) {
  std::string value(result);
  value.resize(result.size() + 4);
  PutLittleEndian(LogRecordCrc(key, result), value.data() + result.size());
  return value;
}

inline std::optional<RequestRecord> DecodeRequest(std::string_view key, std::string_view value) {
  if (key.size() != kRequestKeyBytes || value.size() < 4 ||
      !IsSoundLogValue(key, value, value.size())) {
    return std::nullopt;
  }
  return RequestRecord{
      {GetBigEndian<uint64_t>(key.data() + 5), GetBigEndian<uint64_t>(key.data() + 13),
       GetBigEndian<uint64_t>(key.data() + 21)},
      std::string(value.substr(0, value.size() - 4))};
}

inline std::array<char, 12> EncodeTokenValue(std::string_view key, Token token) {
  std::array<char, 12> value;
  PutLittleEndian(token, value.data());
  SealLogValue(key, value);
  return value;
}

inline std::optional<TokenRecord> DecodeToken(std::string_view key, std::string_view value) {
  if (key.size() != kTokenKeyBytes || !IsSoundLogValue(key, value, 12)) {
    return std::nullopt;
  }
  return TokenRecord{GetBigEndian<uint64_t>(key.data() + 5),
                     GetLittleEndian<uint64_t>(value.data())};
}

}  // namespace vswap
