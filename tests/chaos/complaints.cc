#include "tests/chaos/complaints.h"

namespace vswap {

std::vector<std::string> ComplaintsOf(Workload& workload, bool refusals_allowed) {
  std::vector<std::string> complaints = workload.wrong_pages();
  const Workload::Counts counts = workload.counts();
  const auto add = [&](uint64_t count, const std::string& what) {
    if (count > 0) {
      complaints.push_back(std::to_string(count) + what);
    }
  };
  add(counts.unknown, " calls failed");
  add(counts.unavailable_pages, " pages were not to be had");
  add(refusals_allowed ? 0 : counts.refused_pages, " pages were refused");
  return complaints;
}

}  // namespace vswap
