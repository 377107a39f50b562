#pragma once

#include <memory>
#include <string>

#include "services/common/status.h"

namespace vswap {

// A data directory in the hands of this process: made where it is missing (its parent must exist),
// and locked (flock on its file `lock`), so that a second process is refused. The kernel lets the
// lock go when the process ends, however it ends. Externally synchronised.
class DataDirLock {
 public:
  // UNAVAILABLE: another process has it. PERMISSION_DENIED, NOT_FOUND (parent), FAILED_PRECONDITION
  // (not a directory).
  static StatusOr<std::unique_ptr<DataDirLock>> Take(const std::string& directory);
  ~DataDirLock();
  DataDirLock(const DataDirLock&) = delete;
  DataDirLock& operator=(const DataDirLock&) = delete;

  // Writes `endpoints.env`, as a whole or not at all: VSWAP_LISTEN=HOST:PORT and
  // VSWAP_METRICS=HOST:PORT.
  Status WriteEndpoints(const std::string& listen, const std::string& metrics) const;
  void RemoveEndpoints() const;

 private:
  DataDirLock(std::string directory, int fd) : directory_(std::move(directory)), fd_(fd) {}
  std::string EndpointsPath() const { return directory_ + "/endpoints.env"; }

  const std::string directory_;
  const int fd_;
};

}  // namespace vswap
