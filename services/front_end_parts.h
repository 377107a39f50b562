#pragma once

#include <functional>
#include <string>

#include "services/frontend/front_end.h"

namespace vswap {

// What the roles with a front-end have in common.

struct FrontEndOptions {
  uint64_t shards = 64;             // of a new cluster
  uint64_t threads = 0;             // 0: as many as processors
  uint64_t writeback_percent = 95;  // fill of a compressor; 100: off
  uint64_t drain_seconds = 30;      // less than clients are patient: 60
  uint64_t compare_seconds = 3600;  // 0: never
};

int ComputeThreads(uint64_t wanted);
FrontEnd::Options ToFrontEndOptions(const FrontEndOptions& options, const std::string& id);
// Starts it and waits.
Status AwaitStart(FrontEnd& front_end);

std::string HostName();
// False where the time was over first.
bool PollUntil(TimePoint deadline, const std::function<bool()>& condition);

}  // namespace vswap
