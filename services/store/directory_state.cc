#include "services/store/directory_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace vswap {
namespace {

constexpr char kMagic[] = "vswap-store";

Status FromErrno(const std::string& doing, int error) {
  const StatusCode code = error == EACCES || error == EPERM || error == EROFS
                              ? StatusCode::kPermissionDenied
                          : error == ENOSPC || error == EDQUOT ? StatusCode::kResourceExhausted
                                                               : StatusCode::kUnavailable;
  return MakeError(code, doing + ": " + std::strerror(error));
}

class File {
 public:
  File(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC, 0640)) {}
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

}  // namespace

StatusOr<std::optional<DirectoryState>> ReadDirectoryState(const std::string& directory) {
  const std::string path = directory + "/" + kStateFileName;
  std::ifstream file(path);
  if (!file) {
    if (errno == ENOENT) {
      return std::optional<DirectoryState>();
    }
    return FromErrno("opening " + path, errno);
  }
  DirectoryState state;
  std::string line;
  bool magic = false;
  unsigned found = 0;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    if (key == kMagic) {
      magic = true;
    } else if (key == "format" && words >> state.format) {
      found |= 1;
    } else if (key == "boot_id") {
      words >> state.boot_id;
      found |= 2;
    } else if (key == "sync_log" && words >> state.sync_log) {
      found |= 4;
    } else if (key == "clean" && words >> state.clean) {
      found |= 8;
    }
  }
  const bool other_format =
      (found & 1) != 0 && state.format != kFormatFirst && state.format != kFormatOwnLog;
  if (!magic || (found != 15 && !other_format)) {
    return MakeError(StatusCode::kDataLoss,
                     path + " is damaged: it does not read as the state of a store");
  }
  return std::optional<DirectoryState>(state);
}

Status WriteDirectoryState(const std::string& directory, const DirectoryState& state) {
  std::ostringstream text;
  text << kMagic << "\nformat " << state.format << "\nboot_id " << state.boot_id << "\nsync_log "
       << state.sync_log << "\nclean " << state.clean << "\n";
  const std::string path = directory + "/" + kStateFileName;
  const std::string fresh = path + ".new";
  VSWAP_RETURN_IF_ERROR(WriteSynced(fresh, text.str()));
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    return FromErrno("replacing " + path, errno);
  }
  const File parent(directory, O_RDONLY | O_DIRECTORY);
  if (parent.fd() < 0 || fsync(parent.fd()) != 0) {
    return FromErrno("syncing " + directory, errno);
  }
  return absl::OkStatus();
}

}  // namespace vswap
