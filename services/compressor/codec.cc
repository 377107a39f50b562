#include "services/compressor/codec.h"

#include <lz4.h>

#include <array>

#include "services/common/checksum.h"

namespace vswap {

std::optional<std::vector<std::byte>> CompressPage(PageView plain, size_t limit_bytes) {
  std::array<char, kPageBytes> block;
  const int bytes =
      LZ4_compress_default(reinterpret_cast<const char*>(plain.data()), block.data(),
                           static_cast<int>(kPageBytes), static_cast<int>(limit_bytes));
  if (bytes <= 0) {
    return std::nullopt;
  }
  const auto* begin = reinterpret_cast<const std::byte*>(block.data());
  return std::vector<std::byte>(begin, begin + bytes);
}

bool ExpandPage(ByteView block, MutablePageView plain) {
  return LZ4_decompress_safe(reinterpret_cast<const char*>(block.data()),
                             reinterpret_cast<char*>(plain.data()), static_cast<int>(block.size()),
                             static_cast<int>(kPageBytes)) == static_cast<int>(kPageBytes);
}

PageCode VerifyPut(const PutPage& page) {
  if (RecordChecksum(page.name, page.stamp, page.page_checksum, page.encoding, page.bytes) !=
      page.record_checksum) {
    return PageCode::kCorrupt;
  }
  std::array<std::byte, kPageBytes> expanded;
  ByteView plain = page.bytes;
  if (page.encoding == Encoding::kLz4) {
    if (page.bytes.empty() || page.bytes.size() >= kPageBytes ||
        !ExpandPage(page.bytes, expanded)) {
      return PageCode::kInvalid;
    }
    plain = expanded;
  } else if (page.encoding != Encoding::kRaw || page.bytes.size() != kPageBytes) {
    return PageCode::kInvalid;
  }
  if (!page.as_is && PageChecksum(page.name.space, page.name.offset, page.stamp,
                                  PageView(plain.data(), kPageBytes)) != page.page_checksum) {
    return PageCode::kCorrupt;
  }
  return PageCode::kOk;
}

}  // namespace vswap
