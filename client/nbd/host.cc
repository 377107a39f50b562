#include "client/nbd/host.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>

namespace vswap::nbd {
namespace {

constexpr std::string_view kOomScoreMin = "-1000";
// Of nbdkit's, gRPC's and our threads; the default of 8 MiB each would be locked in full.
constexpr size_t kStackBytes = 1024 * 1024;
constexpr int kHeapsMax = 4;
constexpr int kHeapKeptBytes = 256 * 1024 * 1024;

std::atomic<bool> io_flusher{false};

bool WriteOomScore() {
  const int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0) {
    return false;
  }
  const ssize_t written = write(file, kOomScoreMin.data(), kOomScoreMin.size());
  const int error = errno;
  close(file);
  errno = error;
  return written == static_cast<ssize_t>(kOomScoreMin.size());
}

bool SetStackBytes() {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) {
    return false;
  }
  const bool set = pthread_attr_setstacksize(&attributes, kStackBytes) == 0 &&
                   pthread_setattr_default_np(&attributes) == 0;
  pthread_attr_destroy(&attributes);
  return set;
}

// Heaps grow to what a burst has needed and stay so: no mapping comes and goes with a message.
bool KeepHeap() {
  return mallopt(M_ARENA_MAX, kHeapsMax) == 1 && mallopt(M_TRIM_THRESHOLD, kHeapKeptBytes) == 1 &&
         mallopt(M_MMAP_THRESHOLD, kHeapKeptBytes / 8) == 1;
}

// "Name:  NUMBER kB" of /proc/self/status.
uint64_t StatusBytes(std::string_view name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == name) {
      uint64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes * 1024;
    }
  }
  return 0;
}

}  // namespace

std::vector<std::string> PrepareForSwap() {
  std::vector<std::string> refused;
  const auto note = [&](bool done, const char* what) {
    if (!done) {
      refused.push_back(std::string(what) + ": " + std::strerror(errno));
    }
  };
  io_flusher = prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0;
  note(io_flusher, "PR_SET_IO_FLUSHER");
  note(WriteOomScore(), "oom_score_adj -1000");
  note(SetStackBytes(), "stacks of 1 MiB");
  note(KeepHeap(), "a heap that is kept");
  return refused;
}

HostState ReadHostState() {
  HostState state;
  state.io_flusher = io_flusher;
  std::ifstream("/proc/self/oom_score_adj") >> state.oom_score_adj;
  state.locked_bytes = StatusBytes("VmLck:");
  state.resident_bytes = StatusBytes("VmRSS:");
  return state;
}

}  // namespace vswap::nbd
