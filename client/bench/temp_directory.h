#pragma once

#include <memory>
#include <string>
#include <vector>

#include "services/common/status.h"

namespace vswap::bench {

// A fresh directory for what a measurement leaves on disk; removed with all in it when this object
// goes, or by RemoveAll. Thread-confined.
class TempDirectory {
 public:
  static StatusOr<std::unique_ptr<TempDirectory>> Make();
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string& path() const { return path_; }
  // The path of a file in memory (tmpfs) that is removed with the directory.
  const std::string& memory_file() const { return memory_file_; }

  // Removes those of the whole process, when it is about to end. From any thread.
  static void RemoveAll();

 private:
  explicit TempDirectory(const std::string& path);
  const std::string path_;
  const std::string memory_file_;
};

}  // namespace vswap::bench
