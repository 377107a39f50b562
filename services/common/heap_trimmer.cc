#include "services/common/heap_trimmer.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace vswap {
namespace {

// What is resident and not allocated: holes of the heap, and thread stacks.
uint64_t ExcessBytes() {
  const struct mallinfo2 heap = mallinfo2();
  const uint64_t resident = ResidentAnonymousBytes();
  return resident - std::min<uint64_t>(resident, heap.uordblks + heap.hblkhd);
}

}  // namespace

uint64_t ResidentAnonymousBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  uint64_t shared = 0;
  file >> total >> resident >> shared;
  return (resident - std::min(resident, shared)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

HeapTrimmer::HeapTrimmer(Duration period) : period_(period), thread_([this] { Run(); }) {}

HeapTrimmer::~HeapTrimmer() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  thread_.join();
}

void HeapTrimmer::Run() {
  while (true) {
    {
      MutexLock lock(mutex_);
      const TimePoint next = std::chrono::steady_clock::now() + period_;
      while (!stopping_ && wake_.WaitUntil(mutex_, next)) {
      }
      if (stopping_) {
        return;
      }
    }
    Look();
  }
}

void HeapTrimmer::Look() {
  const uint64_t excess = ExcessBytes();
  if (excess > left_bytes_ + kExcessBytes) {
    malloc_trim(0);
    left_bytes_ = ExcessBytes();
  } else {
    left_bytes_ = std::min(left_bytes_, excess);
  }
}

}  // namespace vswap
