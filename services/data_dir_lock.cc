#include "services/data_dir_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace vswap {
namespace {

Status FromErrno(const std::string& what, int error) {
  StatusCode code = StatusCode::kUnavailable;
  if (error == EACCES || error == EPERM || error == EROFS) {
    code = StatusCode::kPermissionDenied;
  } else if (error == ENOENT) {
    code = StatusCode::kNotFound;
  } else if (error == ENOTDIR) {
    code = StatusCode::kFailedPrecondition;
  } else if (error == ENOSPC) {
    code = StatusCode::kResourceExhausted;
  }
  return MakeError(code, "data-dir: " + what + ": " + std::strerror(error));
}

}  // namespace

StatusOr<std::unique_ptr<DataDirLock>> DataDirLock::Take(const std::string& directory) {
  if (directory.empty()) {
    return InvalidField("data-dir", "empty", "a path");
  }
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return FromErrno("cannot make " + directory, errno);
  }
  const std::string path = directory + "/lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return FromErrno("cannot open " + path, errno);
  }
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    close(fd);
    return error == EWOULDBLOCK
               ? MakeError(StatusCode::kUnavailable,
                           "data-dir: " + directory + " is in use by another process")
               : FromErrno("cannot lock " + path, error);
  }
  return std::unique_ptr<DataDirLock>(new DataDirLock(directory, fd));
}

DataDirLock::~DataDirLock() { close(fd_); }

Status DataDirLock::WriteEndpoints(const std::string& listen, const std::string& metrics) const {
  const std::string part = EndpointsPath() + ".part";
  std::ofstream file(part, std::ios::trunc);
  file << "VSWAP_LISTEN=" << listen << "\nVSWAP_METRICS=" << metrics << "\n";
  file.close();
  if (!file || std::rename(part.c_str(), EndpointsPath().c_str()) != 0) {
    return FromErrno("cannot write " + EndpointsPath(), errno);
  }
  return Status();
}

void DataDirLock::RemoveEndpoints() const { unlink(EndpointsPath().c_str()); }

}  // namespace vswap
