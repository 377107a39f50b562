#pragma once

#include <string>
#include <vector>

#include "tests/model/workload.h"

namespace vswap {

// What a host would complain of, a line each: wrong and lost pages, calls that failed, pages that
// were not answered and, unless there may have been no room, pages whose stores were refused.
std::vector<std::string> ComplaintsOf(Workload& workload, bool refusals_allowed);

}  // namespace vswap
