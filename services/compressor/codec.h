#pragma once

#include <optional>
#include <vector>

#include "services/cluster/node.h"

namespace vswap {

// A page that does not come down to this is not worth compressing: it would cost the expansion and
// save less than an eighth.
inline constexpr size_t kCompressedBytesMax = kPageBytes - kPageBytes / 8;

// One page as an LZ4 block (lz4 block format). Nothing where it is longer than `limit_bytes`
// (1..4095).
std::optional<std::vector<std::byte>> CompressPage(PageView plain,
                                                   size_t limit_bytes = kCompressedBytesMax);

// False where the block is broken or does not decode to exactly a page; `plain` is then undefined.
[[nodiscard]] bool ExpandPage(ByteView block, MutablePageView plain);

// Checks a page that a node is asked to keep: the record checksum, the encoding, and, unless it is
// to stay `as_is`, the client's checksum over the plain bytes. kOk, kCorrupt (a checksum), kInvalid
// (encoding, length, broken LZ4).
PageCode VerifyPut(const PutPage& page);

}  // namespace vswap
