#include "client/nbd/host.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace vswap::nbd {
namespace {

constexpr std::string_view kOomScoreMin = "-1000";

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

}  // namespace

std::vector<std::string> PrepareForSwap() {
  std::vector<std::string> refused;
  if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0) {
    refused.push_back("PR_SET_IO_FLUSHER: " + std::string(std::strerror(errno)));
  }
  if (!WriteOomScore()) {
    refused.push_back("oom_score_adj -1000: " + std::string(std::strerror(errno)));
  }
  return refused;
}

}  // namespace vswap::nbd
