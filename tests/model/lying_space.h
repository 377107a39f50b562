#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/model/space_under_test.h"

namespace vswap {

// Swaps pages of an answer, or gives an old page again, once it is told to: a system that is wrong.
class LyingSpace : public SpaceUnderTest {
 public:
  enum class Lie { kNone, kSwap, kOldPage };

  explicit LyingSpace(SpaceUnderTest& space) : space_(space) {}
  void Store(std::vector<ContentAt> pages, StoreDone done) override {
    space_.Store(std::move(pages), std::move(done));
  }
  void Free(Extent extent, FreeDone done) override { space_.Free(extent, std::move(done)); }
  void Load(std::vector<Offset> offsets, LoadDone done) override;

  Lie lie = Lie::kNone;
  int lies_told = 0;

 private:
  void Bend(Offset offset, LoadedPage& page);

  SpaceUnderTest& space_;
  std::map<Offset, PageBytes> seen_;
  PageBytes last_;
};

// Wrong in one of these ways from when it is told on. Externally synchronised, its answers too.
class LyingEntries : public EntriesUnderTest {
 public:
  enum class Lie {
    kNone,
    kDoubleAllocation,  // an extent is handed out that somebody has
    kDoubleFree,        // of two references both are dropped by one free
    kLostDuplicate,     // a duplicate is acknowledged and not done
    kResurrection,      // a freed entry answers with its bytes
    kHalfStored,        // of a folio only half is stored, and acknowledged
    kHalfRefused,       // of a folio half is stored, and refused
    kNotMixed,          // several backings are called one
    kWrongBacking,      // physical, where zeros are
  };

  explicit LyingEntries(EntriesUnderTest& space) : space_(space) {}
  void Store(std::vector<ContentAt> pages, StoreDone done) override {
    space_.Store(std::move(pages), std::move(done));
  }
  void Load(std::vector<Offset> offsets, LoadDone done) override;
  void Free(Extent extent, FreeDone done) override { space_.Free(extent, std::move(done)); }
  void StoreWhole(std::vector<ContentAt> pages, StoreDone done) override;
  void LoadUnmixed(Extent folio, LoadDone done) override;
  void Backing(Extent extent, BackingDone done) override;
  void Allocate(uint32_t order, uint32_t count, AllocateDone done) override;
  void Duplicate(std::vector<Offset> offsets, CodesDone done) override;
  void FreeCounted(std::vector<Offset> offsets, CountDone done) override;

  Lie lie = Lie::kNone;

 private:
  EntriesUnderTest& space_;
  std::map<Offset, uint32_t> references_;  // as answered
  std::map<Offset, Extent> extents_;       // of which nothing was freed
  std::map<Offset, PageBytes> seen_;
};

}  // namespace vswap
