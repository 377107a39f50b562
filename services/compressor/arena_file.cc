#include "services/compressor/arena_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace vswap {
namespace {

using arena::Superblock;

Status FromErrno(const std::string& doing, int error) {
  const StatusCode code = error == EACCES || error == EPERM || error == EROFS || error == ELOOP
                              ? StatusCode::kPermissionDenied
                          : error == ENOSPC || error == EDQUOT || error == ENOMEM
                              ? StatusCode::kResourceExhausted
                              : StatusCode::kUnavailable;
  return MakeError(code, doing + ": " + std::strerror(error));
}

Status Refused(const std::string& message) {
  return MakeError(StatusCode::kFailedPrecondition, message);
}

// Whether the system swaps at all.
bool HasActiveSwap(const std::string& swaps_path) {
  std::ifstream swaps(swaps_path);
  std::string line;
  return std::getline(swaps, line) && std::getline(swaps, line);
}

}  // namespace

StatusOr<std::unique_ptr<ArenaFile>> ArenaFile::Open(const ArenaFileOptions& options,
                                                     Random& random) {
  if (options.data_dir_path.size() >= sizeof(Superblock::data_dir_path)) {
    return InvalidField("data_dir_path", std::to_string(options.data_dir_path.size()) + " bytes",
                        "up to " + std::to_string(sizeof(Superblock::data_dir_path) - 1));
  }
  std::unique_ptr<ArenaFile> file(new ArenaFile(options));
  VSWAP_RETURN_IF_ERROR(file->OpenAndLock());
  VSWAP_RETURN_IF_ERROR(file->CheckFile());
  VSWAP_RETURN_IF_ERROR(file->Format(random));
  file->headers_ = {arena::kHeadersBegin, options.hunk_bytes, 0, nullptr};
  file->blocks_ = {arena::kBlocksBegin, options.slab_bytes, 0, nullptr};
  return file;
}

ArenaFile::~ArenaFile() {
  for (const Region& region : {headers_, blocks_}) {
    if (region.base != nullptr) {
      munmap(region.base, region.chunk_bytes * region.chunks_max);
    }
  }
  if (fd_ >= 0) {
    if (!keep_) {
      unlink(options_.path.c_str());
    }
    close(fd_);
  }
}

Status ArenaFile::OpenAndLock() {
  // Again where the file was removed between opening and locking it.
  while (true) {
    const int fd =
        open(options_.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (fd < 0) {
      return FromErrno("opening arena " + options_.path, errno);
    }
    struct stat opened {};
    struct stat named {};
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      close(fd);
      return MakeError(StatusCode::kUnavailable,
                       "arena " + options_.path + " is in use by another process");
    }
    if (fstat(fd, &opened) == 0 && stat(options_.path.c_str(), &named) == 0 &&
        opened.st_ino == named.st_ino && opened.st_dev == named.st_dev) {
      fd_ = fd;
      keep_ = opened.st_size > 0;
      return absl::OkStatus();
    }
    close(fd);
  }
}

Status ArenaFile::CheckFile() const {
  struct stat file {};
  struct statfs file_system {};
  if (fstat(fd_, &file) != 0 || fstatfs(fd_, &file_system) != 0) {
    return FromErrno("looking at arena " + options_.path, errno);
  }
  if (!S_ISREG(file.st_mode) || file.st_uid != geteuid()) {
    return MakeError(StatusCode::kPermissionDenied,
                     "arena " + options_.path + " is not a regular file of this user");
  }
  if (file_system.f_type != TMPFS_MAGIC && !options_.allow_swappable) {
    return Refused("arena " + options_.path +
                   " is not on tmpfs, so its pages would be written to a disk: choose a path on "
                   "tmpfs, or set allow_swappable");
  }
  return absl::OkStatus();
}

Status ArenaFile::CheckSuperblock(const Superblock& superblock) const {
  const std::string what = "arena " + options_.path;
  if (std::memcmp(superblock.magic, arena::kMagic, sizeof(arena::kMagic)) != 0) {
    return Refused(options_.path + " is not an arena of vswap");
  }
  if (superblock.format_version != arena::kFormatVersion) {
    return Refused(what + " has format version " + std::to_string(superblock.format_version) +
                   ", allowed: " + std::to_string(arena::kFormatVersion));
  }
  if (superblock.crc != superblock.Crc()) {
    return MakeError(StatusCode::kDataLoss, what + " has a damaged superblock");
  }
  if (superblock.block_bytes != arena::kBlockBytes ||
      superblock.header_bytes != arena::kHeaderBytes ||
      superblock.headers_begin != arena::kHeadersBegin ||
      superblock.blocks_begin != arena::kBlocksBegin ||
      superblock.slab_bytes != options_.slab_bytes ||
      superblock.hunk_bytes != options_.hunk_bytes) {
    return Refused(what + " has another layout: slab_bytes is " +
                   std::to_string(superblock.slab_bytes) + ", asked for " +
                   std::to_string(options_.slab_bytes));
  }
  if (superblock.data_dir_path_bytes > sizeof(superblock.data_dir_path)) {
    return MakeError(StatusCode::kDataLoss, what + " has a damaged superblock");
  }
  if (superblock.data_dir_id != options_.data_dir_id) {
    return Refused(what + " belongs to another data directory, " +
                   std::string(superblock.data_dir_path, superblock.data_dir_path_bytes) +
                   ", not to " + options_.data_dir_path);
  }
  return absl::OkStatus();
}

Status ArenaFile::Format(Random& random) {
  Superblock superblock{};
  const ssize_t bytes = pread(fd_, &superblock, sizeof(superblock), 0);
  if (bytes < 0) {
    return FromErrno("reading arena " + options_.path, errno);
  }
  if (bytes > 0) {
    VSWAP_RETURN_IF_ERROR(CheckSuperblock(superblock));
  }
  if (fchmod(fd_, S_IRUSR | S_IWUSR) != 0) {
    return FromErrno("protecting arena " + options_.path, errno);
  }
  incarnation_ = bytes > 0 ? superblock.incarnation : random.Next64();
  const std::string_view path(superblock.data_dir_path, superblock.data_dir_path_bytes);
  if (bytes > 0 && path == options_.data_dir_path) {
    return absl::OkStatus();
  }
  // New, or the data directory has been moved.
  return WriteSuperblock(incarnation_);
}

Status ArenaFile::WriteSuperblock(uint64_t incarnation) const {
  Superblock superblock{};
  std::memcpy(superblock.magic, arena::kMagic, sizeof(arena::kMagic));
  superblock.format_version = arena::kFormatVersion;
  superblock.block_bytes = arena::kBlockBytes;
  superblock.header_bytes = arena::kHeaderBytes;
  superblock.headers_begin = arena::kHeadersBegin;
  superblock.blocks_begin = arena::kBlocksBegin;
  superblock.slab_bytes = options_.slab_bytes;
  superblock.hunk_bytes = options_.hunk_bytes;
  superblock.incarnation = incarnation;
  superblock.data_dir_id = options_.data_dir_id;
  superblock.data_dir_path_bytes = static_cast<uint32_t>(options_.data_dir_path.size());
  std::memcpy(superblock.data_dir_path, options_.data_dir_path.data(),
              options_.data_dir_path.size());
  superblock.crc = superblock.Crc();
  if (pwrite(fd_, &superblock, sizeof(superblock), 0) != sizeof(superblock)) {
    return FromErrno("writing the superblock of arena " + options_.path, errno);
  }
  return absl::OkStatus();
}

Status ArenaFile::Map(uint32_t hunks, uint32_t slabs) {
  const auto written = WrittenHunks();
  VSWAP_RETURN_IF_ERROR(written.status());
  headers_.chunks_max = written->empty() ? hunks : std::max(hunks, written->back() + 1);
  struct stat file {};
  if (fstat(fd_, &file) != 0) {
    return FromErrno("looking at arena " + options_.path, errno);
  }
  const uint64_t bytes = static_cast<uint64_t>(file.st_size);
  if (bytes > arena::kBlocksBegin + arena::kBlocksBytesMax) {
    return Refused("arena " + options_.path + " has " + std::to_string(bytes) +
                   " bytes, more than its block numbers can name");
  }
  const uint64_t slabs_there =
      bytes <= blocks_.begin ? 0 : (bytes - blocks_.begin) / blocks_.chunk_bytes;
  blocks_.chunks_max = std::max(slabs, static_cast<uint32_t>(slabs_there));
  const uint64_t wanted = blocks_.begin + blocks_.chunk_bytes * blocks_.chunks_max;
  if (bytes < wanted && ftruncate(fd_, static_cast<off_t>(wanted)) != 0) {
    return FromErrno("extending arena " + options_.path, errno);
  }
  VSWAP_RETURN_IF_ERROR(MapRegion(headers_));
  VSWAP_RETURN_IF_ERROR(MapRegion(blocks_));
  return LockMemory();
}

Status ArenaFile::MapRegion(Region& region) {
  void* base = mmap(nullptr, region.chunk_bytes * region.chunks_max, PROT_READ | PROT_WRITE,
                    MAP_SHARED, fd_, static_cast<off_t>(region.begin));
  if (base == MAP_FAILED) {
    return FromErrno("mapping arena " + options_.path, errno);
  }
  region.base = static_cast<std::byte*>(base);
  if (madvise(base, region.chunk_bytes * region.chunks_max, MADV_DONTDUMP) != 0) {
    return FromErrno("keeping arena " + options_.path + " out of core files", errno);
  }
  return absl::OkStatus();
}

Status ArenaFile::LockMemory() {
  locked_ = true;
  for (const Region& region : {headers_, blocks_}) {
    locked_ =
        locked_ && mlock2(region.base, region.chunk_bytes * region.chunks_max, MLOCK_ONFAULT) == 0;
  }
  if (!locked_ && !options_.allow_swappable && HasActiveSwap(options_.swaps_path)) {
    return Refused("arena " + options_.path +
                   " cannot be locked into memory and this machine has active swap: raise "
                   "RLIMIT_MEMLOCK above " +
                   std::to_string(headers_.chunk_bytes * headers_.chunks_max +
                                  blocks_.chunk_bytes * blocks_.chunks_max) +
                   " bytes, turn swap off, or set allow_swappable");
  }
  return absl::OkStatus();
}

Status ArenaFile::Destroy() {
  if (unlink(options_.path.c_str()) != 0 && errno != ENOENT) {
    return FromErrno("removing arena " + options_.path, errno);
  }
  keep_ = true;  // nothing of that name is this object's any more
  return absl::OkStatus();
}

bool ArenaFile::Allocate(const Region& region, uint32_t chunk) {
  return fallocate(fd_, 0, static_cast<off_t>(region.begin + region.chunk_bytes * chunk),
                   static_cast<off_t>(region.chunk_bytes)) == 0;
}

bool ArenaFile::Release(const Region& region, uint32_t chunk, uint32_t count) {
  return fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                   static_cast<off_t>(region.begin + region.chunk_bytes * chunk),
                   static_cast<off_t>(region.chunk_bytes * count)) == 0;
}

StatusOr<uint64_t> ArenaFile::FileSystemBytes() const {
  struct statfs file_system {};
  if (fstatfs(fd_, &file_system) != 0) {
    return FromErrno("looking at arena " + options_.path, errno);
  }
  const auto blocks = static_cast<uint64_t>(file_system.f_blocks);
  return blocks == 0 ? ~uint64_t{0}  // tmpfs without a limit
                     : blocks * static_cast<uint64_t>(file_system.f_bsize);
}

StatusOr<std::vector<uint32_t>> ArenaFile::WrittenHunks() const {
  std::vector<uint32_t> hunks;
  off_t at = static_cast<off_t>(arena::kHeadersBegin);
  while (true) {
    at = lseek(fd_, at, SEEK_DATA);
    if (at < 0 && errno != ENXIO) {
      return FromErrno("looking for data in arena " + options_.path, errno);
    }
    if (at < 0 || static_cast<uint64_t>(at) >= arena::kBlocksBegin) {
      return hunks;
    }
    const uint64_t hunk = (static_cast<uint64_t>(at) - arena::kHeadersBegin) / options_.hunk_bytes;
    hunks.push_back(static_cast<uint32_t>(hunk));
    at = static_cast<off_t>(arena::kHeadersBegin + (hunk + 1) * options_.hunk_bytes);
  }
}

}  // namespace vswap
