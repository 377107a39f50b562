#pragma once

#include <string>
#include <thread>

namespace vswap {

// Fills a disk to the last page, and again whatever is freed there, until its end. Thread-confined.
class Ballast {
 public:
  // In a file of this directory. Returns once the disk is full.
  explicit Ballast(const std::string& directory);
  ~Ballast();
  Ballast(const Ballast&) = delete;
  Ballast& operator=(const Ballast&) = delete;

 private:
  // Until there is no room.
  void Grow();
  void Run(const std::stop_token& stop);

  const std::string path_;
  const int fd_;
  std::jthread thread_;
};

}  // namespace vswap
