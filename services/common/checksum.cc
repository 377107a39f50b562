#include "services/common/checksum.h"

#include <isa-l/crc.h>

#include <bit>
#include <cstring>

namespace vswap {
namespace {

static_assert(std::endian::native == std::endian::little, "formats are little endian");

// Collects the fields of a checksum's head in their wire form.
class Head {
 public:
  template <typename T>
  Head& Add(T value) {
    std::memcpy(bytes_ + length_, &value, sizeof(value));
    length_ += sizeof(value);
    return *this;
  }
  uint32_t Crc() const { return Crc32c(0, std::as_bytes(std::span(bytes_, length_))); }

 private:
  char bytes_[64];
  size_t length_ = 0;
};

}  // namespace

uint32_t Crc32c(uint32_t crc, ByteView bytes) {
  // isa-l takes and returns the register, RFC 3720 its complement; and it wants a pointer to
  // mutable bytes, which it does not change.
  auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
  return ~crc32_iscsi(data, static_cast<int>(bytes.size()), ~crc);
}

uint32_t PageChecksum(SpaceId space, Offset offset, const Stamp& stamp, PageView plain) {
  return Crc32c(Head().Add(space).Add(offset).Add(stamp.token).Add(stamp.sequence).Crc(), plain);
}

uint32_t RecordChecksum(const PageName& name, const Stamp& stamp, uint32_t page_checksum,
                        Encoding encoding, ByteView stored) {
  Head head;
  head.Add(name.space).Add(name.offset).Add(name.version).Add(stamp.token).Add(stamp.sequence);
  head.Add(page_checksum).Add(static_cast<uint8_t>(encoding));
  head.Add(static_cast<uint16_t>(stored.size()));
  return Crc32c(head.Crc(), stored);
}

}  // namespace vswap
