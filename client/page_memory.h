#pragma once

#include <cstddef>
#include <span>

namespace vswap::client {

// Memory for page bytes, got and touched at the start, so that using it never needs more; kept out
// of core dumps. Under mlockall it is locked with the rest of the process.
class PageMemory {
 public:
  // std::bad_alloc where there is none.
  explicit PageMemory(size_t bytes);
  ~PageMemory();
  PageMemory(const PageMemory&) = delete;
  PageMemory& operator=(const PageMemory&) = delete;
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

}  // namespace vswap::client
