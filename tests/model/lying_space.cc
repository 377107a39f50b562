#include "tests/model/lying_space.h"

#include <algorithm>

namespace vswap {

void LyingSpace::Load(std::vector<Offset> offsets, LoadDone done) {
  space_.Load(offsets, [this, offsets, done](StatusOr<std::vector<LoadedPage>> pages) {
    for (size_t i = 0; pages.ok() && i < offsets.size(); ++i) {
      LoadedPage& page = pages->at(i);
      if (page.code == PageCode::kOk && page.bytes != ZeroPage()) {
        Bend(offsets[i], page);
      }
    }
    done(std::move(pages));
  });
}

void LyingSpace::Bend(Offset offset, LoadedPage& page) {
  const auto [seen, first_time] = seen_.try_emplace(offset, page.bytes);
  if (lie == Lie::kSwap && !last_.empty() && last_ != page.bytes) {
    page.bytes = last_;
  } else if (lie == Lie::kOldPage && !first_time && seen->second != page.bytes) {
    page.bytes = seen->second;
  } else {
    last_ = page.bytes;
    return;
  }
  ++lies_told;
  lie = Lie::kNone;
}

void LyingEntries::Allocate(uint32_t order, uint32_t count, AllocateDone done) {
  space_.Allocate(order, count, [this, order, done](StatusOr<std::vector<Extent>> extents) {
    const auto old = std::ranges::find_if(
        extents_, [order](const auto& extent) { return extent.second.pages == 1u << order; });
    if (extents.ok() && old != extents_.end() && lie == Lie::kDoubleAllocation) {
      extents->front() = old->second;
    }
    for (size_t i = 0; extents.ok() && i < extents->size(); ++i) {
      const Extent extent = extents->at(i);
      extents_[extent.offset] = extent;
      for (uint32_t k = 0; k < extent.pages; ++k) {
        references_[extent.offset + k] = 1;
      }
    }
    done(std::move(extents));
  });
}

void LyingEntries::Duplicate(std::vector<Offset> offsets, CodesDone done) {
  const bool all_live =
      std::ranges::all_of(offsets, [this](Offset offset) { return references_[offset] > 0; });
  if (all_live && lie == Lie::kLostDuplicate) {
    return done(std::vector<PageCode>(offsets.size(), PageCode::kOk));
  }
  space_.Duplicate(offsets, [this, offsets, done](StatusOr<std::vector<PageCode>> codes) {
    for (size_t i = 0; codes.ok() && i < offsets.size(); ++i) {
      references_[offsets[i]] += codes->at(i) == PageCode::kOk;
    }
    done(std::move(codes));
  });
}

void LyingEntries::FreeCounted(std::vector<Offset> offsets, CountDone done) {
  std::erase_if(extents_, [&](const auto& extent) {
    return std::ranges::any_of(offsets, [&](Offset offset) {
      return offset - extent.second.offset < extent.second.pages;
    });
  });
  space_.FreeCounted(offsets, [this, offsets, done](StatusOr<uint64_t> count) {
    for (size_t i = 0; count.ok() && i < offsets.size(); ++i) {
      uint32_t& references = references_[offsets[i]];
      references -= references > 0;
      if (references == 1 && lie == Lie::kDoubleFree) {
        return space_.FreeCounted({offsets[i]},
                                  [done, count](const StatusOr<uint64_t>&) { done(count); });
      }
    }
    done(std::move(count));
  });
}

void LyingEntries::Load(std::vector<Offset> offsets, LoadDone done) {
  space_.Load(offsets, [this, offsets, done](StatusOr<std::vector<LoadedPage>> pages) {
    for (size_t i = 0; pages.ok() && i < offsets.size(); ++i) {
      LoadedPage& page = pages->at(i);
      const auto seen = seen_.find(offsets[i]);
      if (page.code == PageCode::kOk && page.bytes != ZeroPage()) {
        seen_[offsets[i]] = page.bytes;
      } else if (page.code == PageCode::kNotFound && seen != seen_.end() &&
                 lie == Lie::kResurrection) {
        page = {PageCode::kOk, seen->second};
      }
    }
    done(std::move(pages));
  });
}

void LyingEntries::StoreWhole(std::vector<ContentAt> pages, StoreDone done) {
  const size_t all = pages.size();
  if (all == 1 || (lie != Lie::kHalfStored && lie != Lie::kHalfRefused)) {
    return space_.StoreWhole(std::move(pages), std::move(done));
  }
  const PageCode answer = lie == Lie::kHalfStored ? PageCode::kOk : PageCode::kResourceExhausted;
  pages.resize(all / 2);
  space_.StoreWhole(std::move(pages), [all, answer, done](StatusOr<std::vector<PageCode>> codes) {
    if (codes.ok()) {
      codes->assign(all, codes->front() == PageCode::kOk ? answer : codes->front());
    }
    done(std::move(codes));
  });
}

void LyingEntries::LoadUnmixed(Extent folio, LoadDone done) {
  space_.LoadUnmixed(folio, [this, folio, done](StatusOr<std::vector<LoadedPage>> pages) {
    if (ReasonOf(pages.status()) != ErrorReason::kMixed || lie != Lie::kNotMixed) {
      return done(std::move(pages));
    }
    std::vector<Offset> offsets;
    for (uint32_t i = 0; i < folio.pages; ++i) {
      offsets.push_back(folio.offset + i);
    }
    space_.Load(std::move(offsets), done);
  });
}

void LyingEntries::Backing(Extent extent, BackingDone done) {
  space_.Backing(extent, [this, done](StatusOr<SlotRun> run) {
    const bool zeros = run.ok() && run->kind == BackingKind::kNone;
    if (zeros && lie == Lie::kWrongBacking) {
      run->kind = BackingKind::kPhysical;
    }
    done(run);
  });
}

}  // namespace vswap
