#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vswap::nbd {

// Makes this process fit to stand under a host's swap: before it has threads, since they inherit
// it. What the host refuses is named in the answer, and not needed to go on.
//
// - PR_SET_IO_FLUSHER: memory that is asked for while a page is written does not wait for pages to
//   be written.
// - oom_score_adj: the process that holds everybody's cold pages is not the one to kill.
// - Small stacks, few heaps, and memory kept once it was got: under mlockall all of it is resident,
//   and what is there already need not be asked for while the host has none.
std::vector<std::string> PrepareForSwap();

// What became of it, for whoever looks; of this process, now.
struct HostState {
  bool io_flusher = false;
  int64_t oom_score_adj = 0;
  uint64_t locked_bytes = 0;
  uint64_t resident_bytes = 0;
};
HostState ReadHostState();

}  // namespace vswap::nbd
