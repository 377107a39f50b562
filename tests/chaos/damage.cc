#include "tests/chaos/damage.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "services/compressor/arena_format.h"

namespace vswap {
namespace {

void FlipAt(std::fstream& file, uint64_t at) {
  file.seekg(static_cast<std::streamoff>(at));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(byte ^ 16));
  EXPECT_TRUE(file.good());
}

}  // namespace

int DamageArena(const std::string& arena, SeededRandom& random) {
  constexpr uint64_t kHeadersRead = 32768;  // they are made from the lowest on
  std::fstream file(arena, std::ios::in | std::ios::out | std::ios::binary);
  EXPECT_TRUE(file.is_open()) << arena;
  int damaged = 0;
  for (uint64_t slot = 0; slot < kHeadersRead; ++slot) {
    const uint64_t at = arena::kHeadersBegin + slot * arena::kHeaderBytes;
    arena::RecordHeader header;
    file.seekg(static_cast<std::streamoff>(at));
    file.read(reinterpret_cast<char*>(&header), sizeof(header));
    if (header.state != static_cast<uint32_t>(arena::HeaderState::kHeld) || random.Below(3) != 0) {
      continue;
    }
    const uint64_t block = header.blocks[random.Below(arena::BlocksFor(header.stored_bytes))];
    FlipAt(file, random.Below(4) == 0 ? at + random.Below(arena::kHeaderBytes)
                                      : arena::kBlocksBegin + block * arena::kBlockBytes);
    ++damaged;
  }
  return damaged;
}

int DamageStore(const std::string& data_dir, const KnownPages& pages, Extent slots) {
  int damaged = 0;
  for (const auto& entry : std::filesystem::directory_iterator(data_dir + "/store/rocksdb")) {
    if (entry.path().extension() != ".sst") {
      continue;
    }
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    const std::string all{std::istreambuf_iterator<char>(file), {}};
    file.clear();
    for (Offset offset = slots.offset; offset < slots.offset + slots.pages; ++offset) {
      const PageBytes page = pages.PageOf(offset);
      const size_t at = all.find(std::string(reinterpret_cast<const char*>(page.data()), 64));
      if (at != std::string::npos) {
        FlipAt(file, at);
        ++damaged;
      }
    }
  }
  return damaged;
}

}  // namespace vswap
