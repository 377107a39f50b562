#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <map>
#include <vector>

#include "services/compressor/compressor_node.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/support/node_calls.h"

namespace vswap::fuzz {

// What an input of the arena's target changes in the file, one edit after the other: a byte of
// kind, then what the kind says.
enum class ArenaEdit : uint8_t {
  kSuperblock = 0,        // u16 where, piece: new bytes
  kSealedSuperblock = 1,  // the same, and a checksum that fits
  kHeader = 2,            // u8 slot, u8 where, piece
  kSealedHeader = 3,      // the same, its own slot number, and a checksum that fits
  kCopiedHeader = 4,      // u8 from slot, u8 to slot, u64 version to add: sealed
  kBlock = 5,             // u16 block, piece
  kFileBytes = 6,         // u64: the file's new length
};
inline constexpr uint8_t kArenaEdits = 7;

// An arena of a few pages in a file on tmpfs, made once; each input begins with it.
// Thread-confined.
class EditedArena {
 public:
  static constexpr uint32_t kSlots = 64;    // two hunks
  static constexpr uint32_t kBlocks = 512;  // four slabs

  EditedArena() {
    std::string pattern = "/dev/shm/vswap-fuzz-XXXXXX";
    FUZZ_CHECK(mkdtemp(pattern.data()) != nullptr);
    directory_ = pattern;
    options_.path = directory_ + "/arena";
    options_.data_dir_id = 0x1234;
    options_.data_dir_path = "/nowhere/data";
    options_.memory_max_bytes = 256 * 1024;
    options_.slab_bytes = 32 * 1024;
    options_.allow_swappable = true;
    options_.swaps_path = "/dev/null";
    MakePages();
    Remember();
  }
  ~EditedArena() { std::filesystem::remove_all(directory_); }
  EditedArena(const EditedArena&) = delete;
  EditedArena& operator=(const EditedArena&) = delete;

  StatusOr<std::unique_ptr<SlabArena>> Open() {
    SeededRandom random(1);
    return SlabArena::Open(options_, random);
  }
  // The remembered file, changed.
  void Rewrite(Input input) {
    const int fd = open(options_.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(ftruncate(fd, 0) == 0);
    FUZZ_CHECK(ftruncate(fd, static_cast<off_t>(file_bytes_)) == 0);
    for (const auto& [at, bytes] : pieces_) {
      Write(fd, at, bytes.data(), bytes.size());
    }
    for (int i = 0; i < 64 && !input.done(); ++i) {
      Edit(fd, input);
    }
    close(fd);
  }
  const SlabArenaOptions& options() const { return options_; }

 private:
  void MakePages() {
    auto arena = Open();
    FUZZ_CHECK(arena.ok());
    ManualExecutor executor;
    CompressorNode node(**arena, executor);
    NodeCalls calls(node);
    for (uint64_t i = 0; i < 12; ++i) {
      FUZZ_CHECK(calls.PutRaw({1 + i % 2, 100 + i, 1 + i}) == PageCode::kOk);
    }
    FUZZ_CHECK(calls.Delete({{1, 104, 5}, {2, 105, 6}}).ok());
  }
  void Remember() {
    const int fd = open(options_.path.c_str(), O_RDONLY | O_CLOEXEC);
    file_bytes_ = static_cast<uint64_t>(lseek(fd, 0, SEEK_END));
    off_t at = 0;
    while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
      const off_t end = lseek(fd, at, SEEK_HOLE);
      std::vector<char> bytes(static_cast<size_t>(end - at));
      FUZZ_CHECK(pread(fd, bytes.data(), bytes.size(), at) == end - at);
      pieces_.emplace(static_cast<uint64_t>(at), std::move(bytes));
      at = end;
    }
    close(fd);
  }

  static void Write(int fd, uint64_t at, const void* bytes, size_t count) {
    FUZZ_CHECK(pwrite(fd, bytes, count, static_cast<off_t>(at)) == static_cast<ssize_t>(count));
  }
  template <typename T>
  static T Read(int fd, uint64_t at) {
    T value{};
    FUZZ_CHECK(pread(fd, &value, sizeof(value), static_cast<off_t>(at)) >= 0);
    return value;
  }
  // New bytes somewhere in a struct.
  template <typename T>
  static void Overwrite(T& value, size_t where, ByteView bytes) {
    const std::span<std::byte> whole = std::as_writable_bytes(std::span(&value, 1));
    const ByteView fitting = bytes.first(std::min(bytes.size(), whole.size() - where));
    std::copy(fitting.begin(), fitting.end(), whole.begin() + static_cast<ptrdiff_t>(where));
  }
  static uint64_t HeaderAt(uint32_t slot) {
    return arena::kHeadersBegin + uint64_t{slot} * arena::kHeaderBytes;
  }
  static void WriteHeader(int fd, uint32_t slot, arena::RecordHeader header, bool sealed) {
    if (sealed) {
      header.slot = slot;
      header.crc = header.Crc();
    }
    Write(fd, HeaderAt(slot), &header, sizeof(header));
  }

  // A length that the file system refuses changes nothing. A terabyte of holes is an arena too, but
  // takes seconds.
  static void Truncate(int fd, uint64_t bytes) {
    constexpr uint64_t kQuickMax = arena::kBlocksBegin + (uint64_t{64} << 20);
    if (bytes <= kQuickMax || bytes > arena::kBlocksBegin + arena::kBlocksBytesMax) {
      static_cast<void>(!ftruncate(fd, static_cast<off_t>(bytes)));
    }
  }

  static void Edit(int fd, Input& input) {
    const auto kind = static_cast<ArenaEdit>(input.Take<uint8_t>() % kArenaEdits);
    switch (kind) {
      case ArenaEdit::kSuperblock:
      case ArenaEdit::kSealedSuperblock: {
        auto superblock = Read<arena::Superblock>(fd, 0);
        const size_t where = input.Take<uint16_t>() % sizeof(superblock);
        Overwrite(superblock, where, input.Piece());
        if (kind == ArenaEdit::kSealedSuperblock) {
          superblock.crc = superblock.Crc();
        }
        return Write(fd, 0, &superblock, sizeof(superblock));
      }
      case ArenaEdit::kHeader:
      case ArenaEdit::kSealedHeader: {
        const uint32_t slot = input.Take<uint8_t>() % kSlots;
        auto header = Read<arena::RecordHeader>(fd, HeaderAt(slot));
        const size_t where = input.Take<uint8_t>() % sizeof(header);
        Overwrite(header, where, input.Piece());
        return WriteHeader(fd, slot, header, kind == ArenaEdit::kSealedHeader);
      }
      case ArenaEdit::kCopiedHeader: {
        auto header = Read<arena::RecordHeader>(fd, HeaderAt(input.Take<uint8_t>() % kSlots));
        const uint32_t to = input.Take<uint8_t>() % kSlots;
        header.version += input.Take<uint64_t>();
        return WriteHeader(fd, to, header, true);
      }
      case ArenaEdit::kBlock: {
        const uint64_t block = input.Take<uint16_t>() % kBlocks;
        const ByteView bytes = input.Piece();
        return Write(fd, arena::kBlocksBegin + block * arena::kBlockBytes, bytes.data(),
                     std::min<size_t>(bytes.size(), arena::kBlockBytes));
      }
      case ArenaEdit::kFileBytes:
        return Truncate(fd, input.Take<uint64_t>());
    }
  }

  std::string directory_;
  SlabArenaOptions options_;
  uint64_t file_bytes_ = 0;
  std::map<uint64_t, std::vector<char>> pieces_;  // by where they begin
};

}  // namespace vswap::fuzz
