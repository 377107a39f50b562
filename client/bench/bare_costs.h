#pragma once

#include <cstdint>
#include <vector>

#include "services/common/executor.h"
#include "services/common/page.h"

namespace vswap::bench {

// Pages as LZ4 blocks, end to end.
struct Lz4Blocks {
  std::vector<uint32_t> lengths;  // one a page; 4096: it does not shrink enough and stays as it is
  std::vector<std::byte> bytes;
};
Lz4Blocks CompressAll(ByteView pages);

// LZ4 alone: CPU time a page, of this thread, compressing all pages over and over for so long; and
// expanding the blocks.
double CompressUsPerPage(ByteView pages, Duration length);
double ExpandUsPerPage(const Lz4Blocks& blocks, Duration length);

// What one call of the protocol has on the wire.
struct MessageBytes {
  size_t request = 0;
  size_t answer = 0;
};
// Of a store of these pages (raw); of a load of pages with these stored lengths.
MessageBytes StoreMessages(ByteView pages);
MessageBytes LoadMessages(const std::vector<uint32_t>& lengths);

}  // namespace vswap::bench
