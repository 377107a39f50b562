#pragma once

#include <string>
#include <vector>

#include "services/common/ids.h"
#include "services/common/mutex.h"
#include "services/common/thread_pool.h"

namespace vswap {

// Random operations on one space, many under way at once on overlapping slots, checked by an
// oracle. Thread-safe; one workload a space. Outlives its operations.
class Workload {
 public:
  struct Counts {
    uint64_t issued = 0;
    uint64_t stored_pages = 0;
    uint64_t refused_pages = 0;
    uint64_t unknown = 0;  // requests that ended with a status
    uint64_t loaded_pages = 0;
    uint64_t unavailable_pages = 0;
    uint64_t lost_pages = 0;
    // Of allocated spaces.
    uint64_t allocated_extents = 0;
    uint64_t refused_allocations = 0;
    uint64_t duplicated_pages = 0;
    uint64_t freed_references = 0;
    uint64_t not_found_pages = 0;  // of any request
    uint64_t shared_pages = 0;     // not stored for their references
    uint64_t whole_folios = 0;     // stored
    uint64_t refused_folios = 0;
    uint64_t unmixed_folios = 0;  // loaded
    uint64_t mixed_folios = 0;
    uint64_t backing_queries = 0;
    Counts& operator+=(const Counts& other);
    std::string ToString() const;
  };

  virtual ~Workload() = default;

  // Begins one random operation; false if as many as allowed are under way.
  virtual bool IssueOne() = 0;
  // Begins a load of every slot ever used, in batches.
  virtual void LoadAll() = 0;
  // Begins a free of everything, of entries with several references of one: the service refuses the
  // older of two changes of one entry. Only while idle. Whether it is to be called again then.
  virtual bool FreeAll() = 0;
  virtual std::vector<std::string> wrong_pages() = 0;

  bool Idle();
  Counts counts();

 protected:
  explicit Workload(uint64_t seed) : random_(seed) {}

  Mutex mutex_;
  SeededRandom random_ GUARDED_BY(mutex_);
  Counts counts_ GUARDED_BY(mutex_);
  uint32_t under_way_ GUARDED_BY(mutex_) = 0;
};

// Of ascending offsets, so many from `begin` on that make one batch of pages.
std::vector<Offset> BatchOf(const std::vector<Offset>& offsets, size_t begin);

}  // namespace vswap
