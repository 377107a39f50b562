#include "services/common/process_usage.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

namespace vswap {
namespace {

Duration ToDuration(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

}  // namespace

ProcessUsage OwnUsage() {
  ProcessUsage usage;
  uint64_t total_pages = 0;
  uint64_t resident_pages = 0;
  if (std::ifstream("/proc/self/statm") >> total_pages >> resident_pages) {
    usage.resident_bytes = resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  rusage used{};
  if (getrusage(RUSAGE_SELF, &used) == 0) {
    usage.cpu = ToDuration(used.ru_utime) + ToDuration(used.ru_stime);
  }
  return usage;
}

}  // namespace vswap
