#pragma once

#include <string>
#include <vector>

#include "services/common/status.h"

namespace vswap::bench {

// Processors, as taskset writes them: "0", "0,2-3". Empty: wherever the kernel likes.
using CpuList = std::vector<int>;

// Where client and service of a measurement run.
struct CpuPlan {
  CpuList client;
  CpuList service;
};

// "CLIENT:SERVICE", each a list; "" for no plan. INVALID_ARGUMENT names the field `cpus`.
StatusOr<CpuPlan> ParseCpuPlan(const std::string& text);

// For the calling thread and the threads and processes that it starts from now on.
Status PinTo(const CpuList& cpus);

}  // namespace vswap::bench
