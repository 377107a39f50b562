#pragma once

#include <memory>
#include <vector>

#include "client/bench/echo_client.h"
#include "client/swap_client.h"

namespace vswap::bench {

enum class PageOp : uint8_t { kOut, kIn };

// Calls of one size on a working set, `depth` under way at once, each begun from the callback of
// the one before it, as a program that never blocks would. Thread-confined.
class PageCalls {
 public:
  struct Options {
    PageOp op = PageOp::kOut;
    uint64_t batch = 64;
    uint64_t depth = 1;
    uint64_t pages = 0;  // working set, from slot 0; a multiple of the batch
  };

  // `content`: what the slots hold, end to end; outlives this.
  PageCalls(SwapClient& client, const Options& options, ByteView content)
      : client_(client), options_(options), content_(content) {}

  // Goes on where the phase before it ended. The first failure of any call or page.
  StatusOr<CallTimes> Run(Duration length);

 private:
  struct Lane;
  void Begin(Lane& lane);
  void OnDone(Lane& lane, const PagesResult& result);

  SwapClient& client_;
  const Options options_;
  const ByteView content_;
  uint64_t done_ = 0;  // calls of the phases before
};

}  // namespace vswap::bench
