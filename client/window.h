#pragma once

#include <optional>
#include <set>

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

  // Empty: wait until something is finished.
  std::optional<Sequence> Begin(bool changes) {
    if (changes && next_ - floor() >= span_max_) {
      return std::nullopt;
    }
    unfinished_.insert(unfinished_.end(), next_);
    return next_++;
  }
  void Finish(Sequence sequence) { unfinished_.erase(sequence); }
  // The lowest unfinished sequence, or the next one where all are finished.
  Sequence floor() const { return unfinished_.empty() ? next_ : *unfinished_.begin(); }

 private:
  const Sequence span_max_;
  Sequence next_ = 1;
  std::set<Sequence> unfinished_;
};

}  // namespace vswap::client
