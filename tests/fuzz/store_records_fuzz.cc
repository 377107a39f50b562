// Keys and values of RocksDB: whatever is decoded encodes to the same bytes again.

#include "services/store/log_format.h"
#include "services/store/record_format.h"
#include "tests/fuzz/fuzz_input.h"

namespace vswap {
namespace {

using fuzz::AsText;

template <typename Array>
std::string_view View(const Array& bytes) {
  return {bytes.data(), bytes.size()};
}

void CheckRecord(std::string_view key, std::string_view value) {
  if (const auto name = DecodePageKey(key)) {
    FUZZ_CHECK(View(EncodePageKey(*name)) == key);
  }
  if (const auto length = DecodeLength(value)) {
    FUZZ_CHECK(View(EncodeLength(*length)) == value);
  }
  if (const auto head = DecodeRecordHead(value)) {
    FUZZ_CHECK(View(EncodeRecordHead(*head)) == value.substr(0, kRecordHeadBytes));
    FUZZ_CHECK(RecordBytes(value).size() == head->stored_bytes && head->stored_bytes > 0);
  }
}

void CheckLog(std::string_view key, std::string_view value) {
  if (const auto position = DecodeMetaValue(key, value)) {
    FUZZ_CHECK(View(EncodeMetaValue(key, *position)) == value);
  }
  if (const auto slot = DecodeSlot(key, value)) {
    const auto shard = GetBigEndian<uint32_t>(key.data());
    FUZZ_CHECK(View(EncodeSlotKey(shard, {slot->space, slot->offset})).substr(5) == key.substr(5));
    FUZZ_CHECK(View(EncodeSlotValue(key, *slot)) == value);
  }
  if (const auto request = DecodeRequest(key, value)) {
    const auto shard = GetBigEndian<uint32_t>(key.data());
    FUZZ_CHECK(View(EncodeRequestKey(shard, request->name)).substr(5) == key.substr(5));
    FUZZ_CHECK(EncodeRequestValue(key, request->result) == value);
  }
  if (const auto token = DecodeToken(key, value)) {
    FUZZ_CHECK(View(EncodeTokenValue(key, token->token)) == value);
  }
}

}  // namespace
}  // namespace vswap

// First byte: bit 0: with a checksum that fits. Then the key as a piece, then the value.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t data_bytes) {
  using namespace vswap;
  fuzz::Input input(data, data_bytes);
  const bool seal = (input.Take<uint8_t>() & 1) != 0;
  const ByteView key = input.Piece();
  std::string value(fuzz::AsText(input.Rest()));
  CheckRecord(fuzz::AsText(key), value);
  if (seal && value.size() >= 4) {
    const size_t body = value.size() - 4;
    PutLittleEndian(LogRecordCrc(fuzz::AsText(key), std::string_view(value).substr(0, body)),
                    value.data() + body);
  }
  CheckLog(fuzz::AsText(key), value);
  return 0;
}
