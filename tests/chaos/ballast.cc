#include "tests/chaos/ballast.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <vector>

namespace vswap {

Ballast::Ballast(const std::string& directory)
    : path_(directory + "/ballast"), fd_(open(path_.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600)) {
  EXPECT_GE(fd_, 0) << path_;
  Grow();
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

Ballast::~Ballast() {
  thread_ = {};
  close(fd_);
  unlink(path_.c_str());
}

void Ballast::Grow() {
  const std::vector<char> some(1 << 20, 'b');
  for (size_t bytes = some.size(); bytes >= 512;) {
    const ssize_t written = write(fd_, some.data(), bytes);
    if (written < 0) {
      EXPECT_EQ(errno, ENOSPC) << path_;
      bytes /= 2;
    }
  }
}

void Ballast::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    Grow();
  }
}

}  // namespace vswap
