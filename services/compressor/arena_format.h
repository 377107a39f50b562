#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "services/common/checksum.h"
#include "services/common/ids.h"
#include "services/common/page.h"

// The arena's file. README.md draws it; all numbers are little endian.
namespace vswap::arena {

inline constexpr uint32_t kFormatVersion = 1;
inline constexpr char kMagic[16] = "vswap-arena";
inline constexpr uint32_t kBlockBytes = 256;
inline constexpr uint32_t kPageBlocksMax = kPageBytes / kBlockBytes;
inline constexpr uint32_t kSuperblockBytes = 4096;
inline constexpr uint64_t kHeadersBegin = kSuperblockBytes;
// Far behind the headers, so that both may grow without moving: the file is sparse.
inline constexpr uint64_t kBlocksBegin = uint64_t{1} << 38;
inline constexpr uint64_t kBlocksBytesMax = uint64_t{1} << 40;  // block numbers are 32 bits
inline constexpr uint32_t kNone = 0xffffffff;                   // no slot, no block

struct Superblock {
  char magic[16];
  uint32_t format_version;
  uint32_t crc;  // CRC32C of all that follows, to the end of the 4096 bytes
  uint32_t block_bytes;
  uint32_t header_bytes;
  uint64_t headers_begin;
  uint64_t blocks_begin;
  uint32_t slab_bytes;
  uint32_t hunk_bytes;
  uint64_t incarnation;
  uint64_t data_dir_id;
  uint32_t data_dir_path_bytes;
  char data_dir_path[kSuperblockBytes - 76];

  uint32_t Crc() const {
    return Crc32c(0, std::as_bytes(std::span(this, 1)).subspan(offsetof(Superblock, block_bytes)));
  }
};
static_assert(sizeof(Superblock) == kSuperblockBytes);

// What a header slot is. Any other number is damage. The state changes in one store, apart from the
// rest of the header, so no moment of a kill leaves a half-changed one:
//   put:    kFree, fields and CRC, kWriting, payload, kHeld
//   delete: kHeld, kDying, wipe the payload, kFree
// Blocks named by a kWriting or kDying header may hold remains, which recovery wipes.
enum class HeaderState : uint32_t {
  kFree = 0,
  kWriting = 0x57a31c85,
  kHeld = 0x48e6d29b,
  kDying = 0xd1f05a3e,
};

struct RecordHeader {
  uint32_t state;  // HeaderState
  uint32_t crc;    // CRC32C of all that follows
  uint64_t space;
  uint64_t offset;
  uint64_t version;
  uint64_t stamp_token;
  uint64_t stamp_sequence;
  uint32_t page_checksum;
  uint32_t record_checksum;
  uint32_t slot;  // its own number: a header that was copied elsewhere is not believed
  uint16_t stored_bytes;
  uint8_t encoding;
  uint8_t unused;
  uint32_t blocks[kPageBlocksMax];  // as many as stored_bytes needs, the rest 0

  PageName name() const { return {space, offset, version}; }
  uint32_t Crc() const {
    return Crc32c(0, std::as_bytes(std::span(this, 1)).subspan(offsetof(RecordHeader, space)));
  }
};
static_assert(sizeof(RecordHeader) == 128);

inline constexpr uint32_t kHeaderBytes = sizeof(RecordHeader);

inline constexpr uint32_t BlocksFor(size_t bytes) {
  return static_cast<uint32_t>((bytes + kBlockBytes - 1) / kBlockBytes);
}

// Everything before it is in the file before the state is: a killed process's stores are there in
// program order, so it is the compiler that this holds back.
inline void SetState(RecordHeader* header, HeaderState state) {
  std::atomic_ref<uint32_t>(header->state)
      .store(static_cast<uint32_t>(state), std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace vswap::arena
