#pragma once

#include <string>
#include <vector>

#include "tests/model/history.h"
#include "tests/model/space_under_test.h"
#include "tests/model/workload.h"

namespace vswap {

// Stores, loads and frees of slots of one device space, checked by a History.
class DeviceWorkload : public Workload {
 public:
  struct Options {
    uint64_t seed = 1;
    std::vector<Offset> regions = {0};  // the slots used: so many from each of these on
    uint32_t region_slots = 64;
    uint32_t batch_pages_max = 8;
    uint32_t under_way_max = 12;
    bool loss_allowed = false;
  };

  DeviceWorkload(SpaceUnderTest& space, SpaceId id, const Options& options)
      : Workload(options.seed), space_(space), id_(id), options_(options), history_(id) {}

  bool IssueOne() override;
  void LoadAll() override;
  bool FreeAll() override;
  std::vector<std::string> wrong_pages() override;

 private:
  // Different slots of one region, neighbours more often than not.
  std::vector<Offset> PickSlots() REQUIRES(mutex_);
  void Store(const std::vector<Offset>& offsets);
  void Load(std::vector<Offset> offsets);
  void Free(Extent extent);

  SpaceUnderTest& space_;
  const SpaceId id_;
  const Options options_;
  History history_ GUARDED_BY(mutex_);
};

}  // namespace vswap
