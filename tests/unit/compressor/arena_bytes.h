#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "services/compressor/arena_format.h"

namespace vswap {

// An arena's file read and changed behind its back. Thread-confined.
class ArenaBytes {
 public:
  explicit ArenaBytes(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    EXPECT_GE(fd_, 0);
  }
  ~ArenaBytes() { close(fd_); }
  ArenaBytes(const ArenaBytes&) = delete;
  ArenaBytes& operator=(const ArenaBytes&) = delete;

  static uint64_t HeaderAt(uint32_t slot) {
    return arena::kHeadersBegin + uint64_t{slot} * arena::kHeaderBytes;
  }
  static uint64_t BlockAt(uint32_t block) {
    return arena::kBlocksBegin + uint64_t{block} * arena::kBlockBytes;
  }
  template <typename T>
  T Read(uint64_t at) const {
    T value{};
    EXPECT_EQ(pread(fd_, &value, sizeof(value), static_cast<off_t>(at)),
              static_cast<ssize_t>(sizeof(value)));
    return value;
  }
  template <typename T>
  void Write(uint64_t at, const T& value) const {
    EXPECT_EQ(pwrite(fd_, &value, sizeof(value), static_cast<off_t>(at)),
              static_cast<ssize_t>(sizeof(value)));
  }
  void Flip(uint64_t at) const { Write(at, static_cast<uint8_t>(Read<uint8_t>(at) ^ 0x10)); }
  arena::RecordHeader Header(uint32_t slot) const {
    return Read<arena::RecordHeader>(HeaderAt(slot));
  }
  // With a checksum that fits.
  void WriteHeader(uint32_t slot, arena::RecordHeader header) const {
    header.slot = slot;
    header.crc = header.Crc();
    Write(HeaderAt(slot), header);
  }
  // Whether only the blocks of held records hold anything.
  bool FreeBlocksAreWiped() const {
    std::set<uint32_t> held;
    ForEachWritten(arena::kHeadersBegin, arena::kBlocksBegin, arena::kHeaderBytes,
                   [&](uint64_t at) { AddBlocks(Read<arena::RecordHeader>(at), held); });
    bool wiped = true;
    const auto end = static_cast<uint64_t>(lseek(fd_, 0, SEEK_END));
    ForEachWritten(arena::kBlocksBegin, end, arena::kBlockBytes, [&](uint64_t at) {
      using Block = std::array<uint8_t, arena::kBlockBytes>;
      const auto number = static_cast<uint32_t>((at - arena::kBlocksBegin) / arena::kBlockBytes);
      wiped = wiped && (held.contains(number) || Read<Block>(at) == Block{});
    });
    return wiped;
  }

 private:
  static void AddBlocks(const arena::RecordHeader& header, std::set<uint32_t>& held) {
    if (header.state == static_cast<uint32_t>(arena::HeaderState::kHeld)) {
      held.insert(header.blocks, header.blocks + arena::BlocksFor(header.stored_bytes));
    }
  }
  // Items in the parts of [begin, end) that are not holes.
  template <typename Visit>
  void ForEachWritten(uint64_t begin, uint64_t end, uint32_t item_bytes, Visit visit) const {
    while (begin < end) {
      const off_t data = lseek(fd_, static_cast<off_t>(begin), SEEK_DATA);
      if (data < 0 || static_cast<uint64_t>(data) >= end) {
        return;
      }
      const auto hole = static_cast<uint64_t>(lseek(fd_, data, SEEK_HOLE));
      for (begin = static_cast<uint64_t>(data); begin < std::min(hole, end); begin += item_bytes) {
        visit(begin);
      }
    }
  }

  const int fd_;
};

}  // namespace vswap
