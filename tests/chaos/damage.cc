#include "tests/chaos/damage.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "services/cluster/rocksdb_logger.h"
#include "services/compressor/arena_format.h"

namespace vswap {
namespace {

namespace fs = std::filesystem;

std::string RocksdbOf(const std::string& data_dir) { return data_dir + "/store/rocksdb"; }

void FlipAt(std::fstream& file, uint64_t at) {
  file.seekg(static_cast<std::streamoff>(at));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(byte ^ 16));
  EXPECT_TRUE(file.good());
}

void FlipAt(const fs::path& path, uint64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  FlipAt(file, at);
}

// The newest file of the log of writes.
fs::path WritesOf(const std::string& data_dir) {
  fs::path newest;
  for (const auto& entry : fs::directory_iterator(RocksdbOf(data_dir))) {
    const fs::path& path = entry.path();
    if (path.extension() == ".log" && path.filename() > newest.filename()) {
      newest = path;
    }
  }
  EXPECT_FALSE(newest.empty()) << data_dir;
  return newest;
}

// RocksDB's files that have some of a column family; the directory stays as it is.
std::vector<fs::path> FilesOf(const std::string& data_dir, const std::string& family) {
  rocksdb::DBOptions options;
  options.info_log = MakeRocksdbLogger("damage");
  const std::string path = RocksdbOf(data_dir);
  std::vector<std::string> names;
  EXPECT_TRUE(rocksdb::DB::ListColumnFamilies(options, path, &names).ok());
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (const std::string& name : names) {
    families.emplace_back(name, rocksdb::ColumnFamilyOptions());
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status =
      rocksdb::DB::OpenForReadOnly(options, path, families, &handles, &opened);
  EXPECT_TRUE(status.ok()) << status.ToString();
  const std::unique_ptr<rocksdb::DB> db(opened);
  std::vector<fs::path> files;
  if (db == nullptr) {
    return files;
  }
  std::vector<rocksdb::LiveFileMetaData> live;
  db->GetLiveFilesMetaData(&live);
  for (const rocksdb::LiveFileMetaData& file : live) {
    if (file.column_family_name == family) {
      files.emplace_back(path + "/" + file.relative_filename);
    }
  }
  for (rocksdb::ColumnFamilyHandle* const handle : handles) {
    db->DestroyColumnFamilyHandle(handle);
  }
  return files;
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
  for (const auto& entry : fs::directory_iterator(RocksdbOf(data_dir))) {
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

int DamageTableLog(const std::string& data_dir, SeededRandom& random) {
  int damaged = 0;
  for (const fs::path& path : FilesOf(data_dir, "log")) {
    FlipAt(path, random.Below(fs::file_size(path) / 2));  // the index stands at the end
    ++damaged;
  }
  return damaged;
}

int DamageWrites(const std::string& data_dir, SeededRandom& random) {
  const fs::path path = WritesOf(data_dir);
  const uint64_t bytes = fs::file_size(path);
  if (bytes < 4) {
    return 0;
  }
  FlipAt(path, bytes / 4 + random.Below(bytes / 2));
  return 1;
}

int CutWrites(const std::string& data_dir, SeededRandom& random) {
  const fs::path path = WritesOf(data_dir);
  const uint64_t bytes = fs::file_size(path);
  fs::resize_file(path, bytes - std::min(bytes, 1 + random.Below(20000)));
  return bytes > 0 ? 1 : 0;
}

}  // namespace vswap
