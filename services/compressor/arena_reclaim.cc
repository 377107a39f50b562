#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "services/common/data_dir.h"
#include "services/compressor/arena_file.h"

namespace vswap {
namespace {

using arena::Superblock;

// Whether the data directory that the superblock names has gone, or another lies in its place.
bool OwnerIsGone(const Superblock& superblock) {
  const std::string path(superblock.data_dir_path, superblock.data_dir_path_bytes);
  struct stat directory {};
  if (stat(path.c_str(), &directory) != 0) {
    return errno == ENOENT || errno == ENOTDIR;
  }
  const auto id = ReadDataDirId(path);
  // A directory without an id is not told from one that is about to get it: the arena stays.
  return id.ok() && id->has_value() && **id != superblock.data_dir_id;
}

bool IsAbandoned(int fd, uint64_t own_id) {
  struct stat file {};
  Superblock superblock{};
  return fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && file.st_uid == geteuid() &&
         pread(fd, &superblock, sizeof(superblock), 0) == sizeof(superblock) &&
         std::memcmp(superblock.magic, arena::kMagic, sizeof(arena::kMagic)) == 0 &&
         superblock.format_version == arena::kFormatVersion && superblock.crc == superblock.Crc() &&
         superblock.data_dir_id != own_id &&
         superblock.data_dir_path_bytes <= sizeof(superblock.data_dir_path) &&
         flock(fd, LOCK_EX | LOCK_NB) == 0 && OwnerIsGone(superblock);
}

}  // namespace

std::string DefaultArenaPath(uint64_t data_dir_id) {
  return "/dev/shm/vswap-" + FormatDataDirId(data_dir_id);
}

StatusOr<std::vector<std::string>> ReclaimAbandoned(const std::string& directory, uint64_t own_id) {
  std::error_code error;
  std::filesystem::directory_iterator files(directory, error);
  if (error) {
    return MakeError(StatusCode::kUnavailable,
                     "looking for abandoned arenas in " + directory + ": " + error.message());
  }
  std::vector<std::string> reclaimed;
  for (const auto& entry : files) {
    if (entry.symlink_status(error).type() != std::filesystem::file_type::regular) {
      continue;
    }
    const int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
      continue;
    }
    if (IsAbandoned(fd, own_id) && unlink(entry.path().c_str()) == 0) {
      reclaimed.push_back(entry.path());
    }
    close(fd);
  }
  return reclaimed;
}

}  // namespace vswap
