#pragma once

#include <string>
#include <vector>

namespace vswap::nbd {

// Makes this process fit to stand under a host's swap: before it has threads, since they inherit
// it. What the host refuses is named in the answer, and not needed to go on.
//
// - PR_SET_IO_FLUSHER: memory that is asked for while a page is written does not wait for pages to
// be written.
// - oom_score_adj: the process that holds everybody's cold pages is not the one to kill.
std::vector<std::string> PrepareForSwap();

}  // namespace vswap::nbd
