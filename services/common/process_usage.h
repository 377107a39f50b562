#pragma once

#include <cstdint>

#include "services/common/executor.h"

namespace vswap {

// What a process takes from its machine.
struct ProcessUsage {
  uint64_t resident_bytes = 0;  // memory in use: anonymous, of files and shared
  Duration cpu{};               // user and system, of all its threads since it began
};

// Of this process. Zeros where the kernel does not tell. Thread-safe.
ProcessUsage OwnUsage();

}  // namespace vswap
