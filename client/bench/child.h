#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "client/bench/cpu_list.h"
#include "services/common/executor.h"
#include "services/common/status.h"

namespace vswap::bench {

// A program started for a measurement. Killed (SIGKILL) when this object goes, and by the kernel
// when the thread that started it ends. Thread-confined.
class Child {
 public:
  // Starts `arguments` (the first is the program's path) on those processors and waits for its
  // first line of output. UNAVAILABLE: it ended, or said nothing for a minute.
  static StatusOr<std::unique_ptr<Child>> Start(std::vector<std::string> arguments,
                                                const CpuList& cpus);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // The value of NAME=VALUE in its first line; empty where there is none.
  std::string Field(const std::string& name) const;
  // User and system time of all its threads so far.
  Duration cpu() const;

 private:
  Child(pid_t pid, int output) : pid_(pid), output_(output) {}
  Status ReadFirstLine();

  const pid_t pid_;
  const int output_;  // its standard output
  std::string first_line_;
};

// The directory of the running program.
std::string OwnDirectory();
// The running program itself, to be started once more.
std::string OwnPath();

}  // namespace vswap::bench
