#include "client/page_memory.h"

#include <sys/mman.h>

#include <new>

namespace vswap::client {

PageMemory::PageMemory(size_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) {
    throw std::bad_alloc();
  }
  madvise(memory, bytes, MADV_DONTDUMP);
  bytes_ = {static_cast<std::byte*>(memory), bytes};
}

PageMemory::~PageMemory() { munmap(bytes_.data(), bytes_.size()); }

}  // namespace vswap::client
