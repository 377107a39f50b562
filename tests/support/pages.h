#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "services/cluster/node.h"
#include "services/common/checksum.h"
#include "services/common/thread_pool.h"
#include "services/compressor/codec.h"

namespace vswap {

// A page whose content follows from its name, so that a misdelivered one shows. `shrinks`: three
// quarters of it are a run; else it is noise.
inline std::vector<std::byte> PlainOf(const PageName& name, bool shrinks) {
  SeededRandom random(Mix64(name.space) ^ Mix64(name.offset + 1) ^ Mix64(name.version + 2));
  std::vector<std::byte> plain(kPageBytes, std::byte{0x5a});
  const size_t noise = shrinks ? kPageBytes / 4 : kPageBytes;
  for (size_t i = 0; i < noise; ++i) {
    plain[i] = static_cast<std::byte>(random.Next64());
  }
  return plain;
}

// A page to put, and the bytes that it borrows.
struct OwnedPage {
  std::vector<std::byte> bytes;
  PutPage put;
};

inline void SetRecordChecksum(PutPage& put) {
  put.record_checksum =
      RecordChecksum(put.name, put.stamp, put.page_checksum, put.encoding, put.bytes);
}

inline OwnedPage RawPage(const PageName& name, bool shrinks) {
  OwnedPage page;
  page.bytes = PlainOf(name, shrinks);
  page.put.name = name;
  page.put.stamp = {7, name.version};
  page.put.encoding = Encoding::kRaw;
  page.put.bytes = page.bytes;
  page.put.page_checksum = PageChecksum(name.space, name.offset, page.put.stamp,
                                        PageView(page.bytes.data(), kPageBytes));
  SetRecordChecksum(page.put);
  return page;
}

// The same page, which shrinks, as an LZ4 block.
inline OwnedPage Lz4Page(const PageName& name) {
  OwnedPage page = RawPage(name, /*shrinks=*/true);
  page.bytes = CompressPage(PageView(page.bytes.data(), kPageBytes)).value();
  page.put.encoding = Encoding::kLz4;
  page.put.bytes = page.bytes;
  SetRecordChecksum(page.put);
  return page;
}

// Page `i` of the reply, expanded.
inline std::vector<std::byte> PlainBytes(const GetReply& reply, size_t i) {
  const ByteView bytes = reply.BytesOf(reply.pages[i]);
  if (reply.pages[i].encoding == Encoding::kRaw) {
    return {bytes.begin(), bytes.end()};
  }
  std::vector<std::byte> plain(kPageBytes);
  EXPECT_TRUE(ExpandPage(bytes, MutablePageView(plain.data(), kPageBytes)));
  return plain;
}

}  // namespace vswap
