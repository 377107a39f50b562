#pragma once

#include <cstdint>
#include <thread>

#include "services/common/executor.h"
#include "services/common/mutex.h"

namespace vswap {

// Gives memory of the heap that nobody uses any more back to the system. glibc does so by itself
// only at the ends of its arenas: a table that has emptied leaves holes between what lives, and
// they stayed resident (measured: 145 of 260 MiB).
//
// Looks every `period`; trims when more than kExcessBytes more are resident, beyond what is
// allocated, than after the last time. Bad at latency: allocations wait while their arena is
// trimmed, some milliseconds for 100 MiB. One thread of its own; the destructor ends it.
class HeapTrimmer {
 public:
  static constexpr uint64_t kExcessBytes = uint64_t{16} << 20;

  explicit HeapTrimmer(Duration period = std::chrono::seconds(2));
  ~HeapTrimmer();
  HeapTrimmer(const HeapTrimmer&) = delete;
  HeapTrimmer& operator=(const HeapTrimmer&) = delete;

 private:
  void Run();
  void Look();

  const Duration period_;
  uint64_t left_bytes_ = 0;  // in excess after the last trim
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Resident memory of this process that is no file's, shared memory not counted either. 0 where the
// kernel does not tell.
uint64_t ResidentAnonymousBytes();

}  // namespace vswap
