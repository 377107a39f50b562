#pragma once

#include <string>
#include <vector>

#include "tests/model/entry_history.h"
#include "tests/model/space_under_test.h"
#include "tests/model/workload.h"

namespace vswap {

// All operations on one allocated space, checked by an EntryHistory.
class EntryWorkload : public Workload {
 public:
  struct Options {
    uint64_t seed = 1;
    uint64_t space_pages = 1;
    uint64_t references_max = 3000;  // over that, frees take the place of allocations
    uint32_t batch_pages_max = 16;   // some take whole extents
    uint32_t under_way_max = 12;
    // A store may be refused by a later owner of its shard than the one that did it: who takes a
    // shard over knows of duplicates and frees what was answered, and of stores only the pages.
    bool owners_change = false;
    bool loss_allowed = false;
  };

  EntryWorkload(EntriesUnderTest& space, SpaceId id, const Options& options)
      : Workload(options.seed),
        space_(space),
        id_(id),
        options_(options),
        history_(id, options.space_pages, options.loss_allowed) {}

  bool IssueOne() override;
  void LoadAll() override;
  bool FreeAll() override;
  std::vector<std::string> wrong_pages() override;

 private:
  using Offsets = std::vector<Offset>;
  using Fits = bool (EntryHistory::*)(Offset) const;

  void Allocate();
  void Duplicate();
  void Free();
  void SendFree(const EntryHistory::Uses& uses);
  void Store();
  void StoreWhole();
  void Load();
  void LoadSlots(Offsets offsets);
  void LoadUnmixed();
  void Backing();

  // One that was handed out, still live or not.
  Extent PickExtent() REQUIRES(mutex_);
  // Parts of some extents of one stripe, of which `fits` is true; maybe none.
  Offsets PickSlots(Fits fits) REQUIRES(mutex_);
  // Now and then a request names slots that are gone; then none may become live.
  Offsets PickSlots(Fits fits, Fits fits_or_gone) REQUIRES(mutex_);
  // A naturally aligned part of an extent.
  Extent PickFolio() REQUIRES(mutex_);
  bool AllLive(Extent folio) REQUIRES(mutex_);
  ContentAt MakePage(Offset offset, EntryHistory::Uses* uses) REQUIRES(mutex_);
  // Counts the request and whether it names slots that are gone.
  void Begin(const EntryHistory::Uses& uses) REQUIRES(mutex_);
  void End(const EntryHistory::Uses& uses) REQUIRES(mutex_);
  void CountCodes(const StatusOr<std::vector<PageCode>>& codes) REQUIRES(mutex_);
  void CountLoaded(const std::vector<LoadedPage>& pages) REQUIRES(mutex_);

  EntriesUnderTest& space_;
  const SpaceId id_;
  const Options options_;
  EntryHistory history_ GUARDED_BY(mutex_);
  std::vector<Extent> extents_ GUARDED_BY(mutex_);
  uint32_t of_gone_ GUARDED_BY(mutex_) = 0;  // requests under way that name slots that are gone
};

}  // namespace vswap
