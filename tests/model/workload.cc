#include "tests/model/workload.h"

#include "services/common/page.h"

namespace vswap {

Workload::Counts& Workload::Counts::operator+=(const Counts& other) {
  issued += other.issued;
  stored_pages += other.stored_pages;
  refused_pages += other.refused_pages;
  unknown += other.unknown;
  loaded_pages += other.loaded_pages;
  unavailable_pages += other.unavailable_pages;
  lost_pages += other.lost_pages;
  allocated_extents += other.allocated_extents;
  refused_allocations += other.refused_allocations;
  duplicated_pages += other.duplicated_pages;
  freed_references += other.freed_references;
  not_found_pages += other.not_found_pages;
  shared_pages += other.shared_pages;
  whole_folios += other.whole_folios;
  refused_folios += other.refused_folios;
  unmixed_folios += other.unmixed_folios;
  mixed_folios += other.mixed_folios;
  backing_queries += other.backing_queries;
  return *this;
}

std::string Workload::Counts::ToString() const {
  const auto line = [](std::initializer_list<std::pair<const char*, uint64_t>> counts) {
    std::string text;
    for (const auto& [name, count] : counts) {
      text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + name;
    }
    return text;
  };
  return line({{"operations", issued},
               {"pages stored", stored_pages},
               {"refused", refused_pages},
               {"loaded and checked", loaded_pages},
               {"unavailable", unavailable_pages},
               {"lost", lost_pages},
               {"requests of unknown outcome", unknown}}) +
         "\n  " +
         line({{"extents allocated", allocated_extents},
               {"allocations refused", refused_allocations},
               {"pages duplicated", duplicated_pages},
               {"references freed", freed_references},
               {"pages not found", not_found_pages},
               {"shared ones not stored", shared_pages}}) +
         "\n  " +
         line({{"folios stored as a whole", whole_folios},
               {"refused", refused_folios},
               {"loaded unmixed", unmixed_folios},
               {"mixed", mixed_folios},
               {"backing queries", backing_queries}});
}

bool Workload::Idle() {
  MutexLock lock(mutex_);
  return under_way_ == 0;
}

Workload::Counts Workload::counts() {
  MutexLock lock(mutex_);
  return counts_;
}

std::vector<Offset> BatchOf(const std::vector<Offset>& offsets, size_t begin) {
  std::vector<Offset> batch;
  for (size_t i = begin; i < offsets.size() && batch.size() < kBatchPagesMax &&
                         offsets[i] / kStripePages == offsets[begin] / kStripePages;
       ++i) {
    batch.push_back(offsets[i]);
  }
  return batch;
}

}  // namespace vswap
