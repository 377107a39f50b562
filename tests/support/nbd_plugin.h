#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace vswap {

// The plugin of nbdkit within the test's process: the test is nbdkit. One a process. Requests may
// come from any threads.
class NbdPlugin {
 public:
  using Parameters = std::vector<std::pair<std::string, std::string>>;

  // Runs its start-up and opens one connection.
  explicit NbdPlugin(const Parameters& parameters);
  ~NbdPlugin();
  NbdPlugin(const NbdPlugin&) = delete;
  NbdPlugin& operator=(const NbdPlugin&) = delete;

  // Whether start-up and the one connection came about; else Error() says why.
  bool ok() const { return handle_ != nullptr; }
  // The plugin's last messages for nbdkit's log, a line each.
  static std::string Error();

  bool Write(std::span<const std::byte> bytes, size_t offset);
  bool Read(std::span<std::byte> bytes, size_t offset);
  bool Trim(size_t bytes, size_t offset);

 private:
  void* handle_ = nullptr;
};

}  // namespace vswap
