#include "services/common/data_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace vswap {
namespace {

constexpr size_t kIdDigits = 16;
constexpr char kIdFileName[] = "/id";

Status FromErrno(const std::string& doing, int error) {
  const bool denied = error == EACCES || error == EPERM || error == EROFS;
  return MakeError(denied ? StatusCode::kPermissionDenied : StatusCode::kUnavailable,
                   doing + ": " + std::strerror(error));
}

class File {
 public:
  File(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~File() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

Status WriteSynced(const std::string& path, const std::string& text) {
  const File file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (file.fd() < 0 ||
      write(file.fd(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      fsync(file.fd()) != 0) {
    return FromErrno("writing " + path, errno);
  }
  return absl::OkStatus();
}

Status SyncDirectory(const std::string& directory) {
  const File parent(directory, O_RDONLY | O_DIRECTORY);
  if (parent.fd() < 0 || fsync(parent.fd()) != 0) {
    return FromErrno("syncing " + directory, errno);
  }
  return absl::OkStatus();
}

}  // namespace

Status WriteWhole(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  VSWAP_RETURN_IF_ERROR(WriteSynced(fresh, text));
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    return FromErrno("replacing " + path, errno);
  }
  return SyncDirectory(path.substr(0, path.rfind('/')));
}

std::string FormatDataDirId(uint64_t id) {
  char digits[kIdDigits + 1];
  std::snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(id));
  return digits;
}

StatusOr<std::optional<uint64_t>> ReadDataDirId(const std::string& directory) {
  const std::string path = directory + kIdFileName;
  const File file(path, O_RDONLY);
  if (file.fd() < 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return std::optional<uint64_t>();
    }
    return FromErrno("opening " + path, errno);
  }
  char text[kIdDigits + 2];
  const ssize_t bytes = read(file.fd(), text, sizeof(text));
  if (bytes < 0) {
    return FromErrno("reading " + path, errno);
  }
  uint64_t id = 0;
  const auto parsed = std::from_chars(text, text + kIdDigits, id, 16);
  if (bytes != kIdDigits + 1 || text[kIdDigits] != '\n' || parsed.ec != std::errc() ||
      parsed.ptr != text + kIdDigits) {
    return MakeError(StatusCode::kDataLoss,
                     path + " is damaged: it is not 16 hex digits and a newline");
  }
  return std::optional<uint64_t>(id);
}

StatusOr<uint64_t> ReadOrMakeDataDirId(const std::string& directory, Random& random) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return FromErrno("making " + directory, errno);
  }
  const auto known = ReadDataDirId(directory);
  VSWAP_RETURN_IF_ERROR(known.status());
  if (known->has_value()) {
    return **known;
  }
  return RenewDataDirId(directory, random);
}

StatusOr<uint64_t> RenewDataDirId(const std::string& directory, Random& random) {
  const uint64_t id = random.Next64();
  VSWAP_RETURN_IF_ERROR(WriteWhole(directory + kIdFileName, FormatDataDirId(id) + "\n"));
  return id;
}

}  // namespace vswap
