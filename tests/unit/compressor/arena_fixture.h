#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "services/common/checksum.h"
#include "services/common/thread_pool.h"
#include "services/compressor/slab_arena.h"

namespace vswap {

// A fresh directory on tmpfs, removed with all it holds at the end. Thread-confined.
class ShmDir {
 public:
  ShmDir() {
    std::string pattern = "/dev/shm/vswap-test-XXXXXX";
    path_ = mkdtemp(pattern.data()) == nullptr ? std::string() : pattern;
  }
  ~ShmDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ShmDir(const ShmDir&) = delete;
  ShmDir& operator=(const ShmDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline constexpr uint64_t kMiB = 1024 * 1024;

inline SlabArenaOptions SmallArena(const std::string& path) {
  SlabArenaOptions options;
  options.path = path;
  options.data_dir_id = 0x1234;
  options.data_dir_path = "/nowhere/data";
  options.memory_max_bytes = kMiB;
  options.slab_bytes = 32 * 1024;
  return options;
}

// Bytes that follow from the name and their number.
inline std::vector<std::byte> BytesOf(const PageName& name, size_t count) {
  SeededRandom random(PageNameHash()(name));
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; i += sizeof(uint64_t)) {
    const uint64_t word = random.Next64() | 0x0101010101010101;  // no zeros: wiped bytes show
    std::memcpy(&bytes[i], &word, std::min(sizeof(word), count - i));
  }
  return bytes;
}

// An arena on a file of its own, that can be dropped and opened again.
class ArenaSetup {
 public:
  ArenaSetup() : options(SmallArena(dir_.path() + "/arena")) { Open(); }
  explicit ArenaSetup(uint64_t memory_max_bytes, uint32_t slab_bytes = 32 * 1024)
      : options(SmallArena(dir_.path() + "/arena")) {
    options.memory_max_bytes = memory_max_bytes;
    options.slab_bytes = slab_bytes;
    Open();
  }
  void Open() {
    auto opened = SlabArena::Open(options, random_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    arena_ = *std::move(opened);
  }
  void Drop() { arena_.reset(); }
  void Reopen() {
    Drop();
    Open();
  }
  // The status of an attempt that is to fail.
  Status OpenStatus() { return SlabArena::Open(options, random_).status(); }

  bool Keep(const PageName& name, size_t bytes, uint32_t replaces_bytes = 0) {
    const std::vector<std::byte> payload = BytesOf(name, bytes);
    return arena_->Keep(PutOf(name, payload, replaces_bytes)).has_value();
  }
  static SlabArena::Put PutOf(const PageName& name, ByteView payload, uint32_t replaces_bytes = 0) {
    ArenaRecord record{name, {3, name.version}, 17,
                       0,    Encoding::kLz4,    static_cast<uint16_t>(payload.size())};
    record.record_checksum = RecordChecksum(name, record.stamp, 17, Encoding::kLz4, payload);
    return {record, payload, replaces_bytes, nullptr};
  }
  bool Held(const PageName& name) {
    std::vector<std::byte> payload;
    return arena_->CopyTo(name, payload).has_value();
  }
  // Whether the name is held with the bytes that belong to it.
  bool HeldRight(const PageName& name, size_t bytes) {
    std::vector<std::byte> payload;
    const auto record = arena_->CopyTo(name, payload);
    return record && payload == BytesOf(name, bytes) && Verifies(*record, payload);
  }
  static bool Verifies(const ArenaRecord& record, ByteView payload) {
    return RecordChecksum(record.name, record.stamp, record.page_checksum, record.encoding,
                          payload) == record.record_checksum;
  }
  void Delete(const PageName& name) { arena_->Delete({&name, 1}); }
  std::set<PageName> Names(uint32_t limit = 7) {
    std::vector<PageName> all;
    std::optional<uint32_t> slot = 0;
    while (slot) {
      std::vector<PageName> names;
      slot = arena_->List(*slot, limit, names);
      all.insert(all.end(), names.begin(), names.end());
    }
    const std::set<PageName> distinct(all.begin(), all.end());
    EXPECT_EQ(distinct.size(), all.size());
    return distinct;
  }
  // What the file really takes.
  uint64_t FileBytes() const {
    struct stat file {};
    EXPECT_EQ(stat(options.path.c_str(), &file), 0);
    return static_cast<uint64_t>(file.st_blocks) * 512;
  }
  SlabArena& arena() { return *arena_; }
  const std::string& directory() const { return dir_.path(); }

 private:
  ShmDir dir_;

 public:
  SlabArenaOptions options;

 private:
  SystemRandom random_;
  std::unique_ptr<SlabArena> arena_;
};

}  // namespace vswap
