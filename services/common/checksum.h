#pragma once

#include <cstdint>

#include "services/common/ids.h"
#include "services/common/page.h"

namespace vswap {

// CRC32C (Castagnoli, RFC 3720 appendix B.4), continued from `crc` (0 to begin). By hardware where
// there is one.
uint32_t Crc32c(uint32_t crc, ByteView bytes);

// The client's end-to-end checksum: CRC32C of space, offset, stamp token, stamp sequence (each 64
// bit little endian), then the 4096 plain bytes. Kept with the page, checked last, in the client.
uint32_t PageChecksum(SpaceId space, Offset offset, const Stamp& stamp, PageView plain);

// The record's checksum: CRC32C of space, offset, version, stamp token, stamp sequence (64 bit
// little endian each), page checksum (32 bit), encoding (8 bit), length (16 bit), then the bytes as
// stored. Checked by every reader.
uint32_t RecordChecksum(const PageName& name, const Stamp& stamp, uint32_t page_checksum,
                        Encoding encoding, ByteView stored);

}  // namespace vswap
