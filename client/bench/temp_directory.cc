#include "client/bench/temp_directory.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "services/common/mutex.h"

namespace vswap::bench {
namespace {

// Paths to remove at the end.
struct Registry {
  Mutex mutex;
  std::set<std::string> paths GUARDED_BY(mutex);
};

Registry& TheRegistry() {
  static Registry registry;
  return registry;
}

void Remove(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

}  // namespace

StatusOr<std::unique_ptr<TempDirectory>> TempDirectory::Make() {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  std::string pattern = (parent / "vswap-bench-XXXXXX").string();
  if (error || mkdtemp(pattern.data()) == nullptr) {
    return MakeError(StatusCode::kFailedPrecondition,
                     "cannot make " + pattern + ": " + std::strerror(errno));
  }
  return std::unique_ptr<TempDirectory>(new TempDirectory(pattern));
}

TempDirectory::TempDirectory(const std::string& path)
    : path_(path), memory_file_("/dev/shm/" + std::filesystem::path(path).filename().string()) {
  Registry& registry = TheRegistry();
  MutexLock lock(registry.mutex);
  registry.paths.insert({path_, memory_file_});
}

TempDirectory::~TempDirectory() {
  Remove(path_);
  Remove(memory_file_);
  Registry& registry = TheRegistry();
  MutexLock lock(registry.mutex);
  registry.paths.erase(path_);
  registry.paths.erase(memory_file_);
}

void TempDirectory::RemoveAll() {
  Registry& registry = TheRegistry();
  MutexLock lock(registry.mutex);
  for (const std::string& path : registry.paths) {
    Remove(path);
  }
}

}  // namespace vswap::bench
