#pragma once

#include <memory>
#include <vector>

#include "services/common/mutex.h"
#include "services/common/thread_pool.h"
#include "tests/model/history.h"
#include "tests/model/space_under_test.h"

namespace vswap {

// Random operations on one space, many under way at once on overlapping slots, checked by a
// History. Thread-safe; one workload a space. Outlives its operations.
class Workload {
 public:
  struct Options {
    uint64_t seed = 1;
    std::vector<Offset> regions = {0};  // the slots used: so many from each of these on
    uint32_t region_slots = 64;
    uint32_t batch_pages_max = 8;
    uint32_t under_way_max = 12;
    bool loss_allowed = false;
  };
  struct Counts {
    uint64_t issued = 0;
    uint64_t stored_pages = 0;
    uint64_t refused_pages = 0;
    uint64_t unknown = 0;  // requests that ended with a status
    uint64_t loaded_pages = 0;
    uint64_t unavailable_pages = 0;
    uint64_t lost_pages = 0;
  };

  Workload(SpaceUnderTest& space, SpaceId id, const Options& options)
      : space_(space), id_(id), options_(options), random_(options.seed), history_(id) {}

  // Begins one random operation; false if as many as allowed are under way.
  bool IssueOne();
  // Begins a load of every slot ever written, in batches.
  void LoadAll();
  // Begins a free of everything.
  void FreeAll();
  bool Idle();
  Counts counts();
  std::vector<std::string> wrong_pages();
  uint64_t pages_checked();

 private:
  // Different slots of one region, neighbours more often than not.
  std::vector<Offset> PickSlots() REQUIRES(mutex_);
  void Store(const std::vector<Offset>& offsets);
  void Load(std::vector<Offset> offsets);
  void Free(Extent extent);

  SpaceUnderTest& space_;
  const SpaceId id_;
  const Options options_;
  Mutex mutex_;
  SeededRandom random_ GUARDED_BY(mutex_);
  History history_ GUARDED_BY(mutex_);
  Counts counts_ GUARDED_BY(mutex_);
  uint32_t under_way_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vswap
