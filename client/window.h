#pragma once

#include "client/request.h"
#include "services/common/ids.h"

namespace vswap::client {

// Numbers the requests of an attachment and knows the lowest number that is not finished. A change
// is not numbered while that would be further above the floor than the server keeps answers for
// (Shard::kSequenceSpanMax), since it would be refused; reads are: the server keeps nothing of
// them. Externally synchronised.
class Window {
 public:
  static constexpr Sequence kSpanMax = 16384;

  explicit Window(Sequence span_max = kSpanMax) : span_max_(span_max) {}

  // Gives the request its sequence; false: wait until something is finished.
  bool Begin(Request& request) {
    if (Changes(request.kind) && next_ - floor() >= span_max_) {
      return false;
    }
    request.sequence = next_++;
    unfinished_.PushBack(request);
    return true;
  }
  void Finish(Request& request) { unfinished_.Remove(request); }
  // The lowest unfinished sequence, or the next one where all are finished.
  Sequence floor() const { return unfinished_.empty() ? next_ : unfinished_.First()->sequence; }

 private:
  const Sequence span_max_;
  Sequence next_ = 1;
  IntrusiveList<Request, InWindow> unfinished_;  // in order
};

}  // namespace vswap::client
