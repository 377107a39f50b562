#include "tests/model/entry_workload.h"

#include <algorithm>
#include <set>

namespace vswap {
namespace {

constexpr uint32_t kExtentsMax = 4;  // whose slots one request names

bool NamesGone(const EntryHistory::Uses& uses) {
  return std::ranges::any_of(uses, [](const EntryHistory::Use& use) { return use.gone; });
}

std::vector<Offset> SlotsOf(Extent extent) {
  std::vector<Offset> offsets;
  for (uint32_t i = 0; i < extent.pages; ++i) {
    offsets.push_back(extent.offset + i);
  }
  return offsets;
}

}  // namespace

bool EntryWorkload::IssueOne() {
  uint64_t dice = 0;
  bool full = false;
  {
    MutexLock lock(mutex_);
    if (under_way_ >= options_.under_way_max) {
      return false;
    }
    ++counts_.issued;
    dice = extents_.empty() ? 0 : random_.Below(100);
    full = history_.references() > options_.references_max;
  }
  if (dice < 14) {
    full ? Free() : Allocate();
  } else if (dice < 21) {
    Duplicate();
  } else if (dice < 42) {
    Free();
  } else if (dice < 57) {
    Store();
  } else if (dice < 66) {
    StoreWhole();
  } else if (dice < 85) {
    Load();
  } else if (dice < 93) {
    LoadUnmixed();
  } else {
    Backing();
  }
  return true;
}

// --- References.

void EntryWorkload::Allocate() {
  uint32_t order = 0;
  uint32_t count = 0;
  {
    MutexLock lock(mutex_);
    if (of_gone_ > 0) {
      return;
    }
    ++under_way_;
    order = static_cast<uint32_t>(random_.Below(random_.Below(10) == 0 ? kOrderMax + 1 : 5));
    count = static_cast<uint32_t>(1 + random_.Below(order < 4 ? 8 : 2));
    history_.BeginAllocate();
  }
  space_.Allocate(order, count, [this, order, count](const StatusOr<std::vector<Extent>>& extents) {
    MutexLock lock(mutex_);
    --under_way_;
    history_.EndAllocate(order, count, extents);
    if (extents.ok()) {
      counts_.allocated_extents += extents->size();
      extents_.insert(extents_.end(), extents->begin(), extents->end());
    } else {
      ++counts_.refused_allocations;
    }
  });
}

void EntryWorkload::Duplicate() {
  Offsets offsets;
  EntryHistory::Uses uses;
  {
    MutexLock lock(mutex_);
    offsets = PickSlots(&EntryHistory::MayShare, &EntryHistory::MayShareOrGone);
    if (offsets.empty()) {
      return;
    }
    uses = history_.BeginDuplicate(offsets);
    Begin(uses);
  }
  space_.Duplicate(offsets, [this, uses](const StatusOr<std::vector<PageCode>>& codes) {
    MutexLock lock(mutex_);
    End(uses);
    history_.EndDuplicate(uses, codes);
    for (size_t i = 0; codes.ok() && i < codes->size(); ++i) {
      ++(codes->at(i) == PageCode::kOk ? counts_.duplicated_pages : counts_.not_found_pages);
    }
  });
}

void EntryWorkload::Free() {
  EntryHistory::Uses uses;
  {
    MutexLock lock(mutex_);
    const Offsets offsets = PickSlots(&EntryHistory::MayDrop, &EntryHistory::MayDropOrGone);
    if (offsets.empty()) {
      return;
    }
    uses = history_.BeginFree(offsets);
    Begin(uses);
  }
  SendFree(uses);
}

void EntryWorkload::SendFree(const EntryHistory::Uses& uses) {
  Offsets offsets;
  for (const EntryHistory::Use& use : uses) {
    offsets.push_back(use.offset);
  }
  space_.FreeCounted(std::move(offsets), [this, uses](const StatusOr<uint64_t>& count) {
    MutexLock lock(mutex_);
    End(uses);
    history_.EndFree(uses, count);
    counts_.freed_references += count.value_or(0);
  });
}

// --- Stores.

ContentAt EntryWorkload::MakePage(Offset offset, EntryHistory::Uses* uses) {
  const uint64_t dice = random_.Below(10);
  const History::Content content = dice < 2 ? 0 : history_.NewContent();
  uses->push_back(history_.BeginStore(offset, content));
  return {offset, History::MakeContent(id_, offset, content, dice < 8)};
}

void EntryWorkload::Store() {
  EntryHistory::Uses uses;
  std::vector<ContentAt> pages;
  {
    MutexLock lock(mutex_);
    for (const Offset offset : PickSlots(&EntryHistory::SurelyLive, &EntryHistory::LiveOrGone)) {
      pages.push_back(MakePage(offset, &uses));
    }
    if (uses.empty()) {
      return;
    }
    Begin(uses);
  }
  space_.Store(std::move(pages), [this, uses](const StatusOr<std::vector<PageCode>>& codes) {
    MutexLock lock(mutex_);
    End(uses);
    history_.EndStore(uses, codes, {.owners_change = options_.owners_change});
    CountCodes(codes);
  });
}

void EntryWorkload::StoreWhole() {
  EntryHistory::Uses uses;
  std::vector<ContentAt> pages;
  {
    MutexLock lock(mutex_);
    const Extent folio = PickFolio();
    if (!AllLive(folio)) {
      return;
    }
    for (const Offset offset : SlotsOf(folio)) {
      pages.push_back(MakePage(offset, &uses));
    }
    Begin(uses);
  }
  space_.StoreWhole(std::move(pages), [this, uses](const StatusOr<std::vector<PageCode>>& codes) {
    MutexLock lock(mutex_);
    End(uses);
    history_.EndStore(uses, codes, {.whole = true, .owners_change = options_.owners_change});
    CountCodes(codes);
    if (codes.ok()) {
      ++(codes->front() == PageCode::kOk ? counts_.whole_folios : counts_.refused_folios);
    }
  });
}

// --- Loads and queries.

void EntryWorkload::Load() {
  Offsets offsets;
  {
    MutexLock lock(mutex_);
    offsets = PickSlots(&EntryHistory::Any);
  }
  LoadSlots(std::move(offsets));
}

void EntryWorkload::LoadSlots(Offsets offsets) {
  EntryHistory::Load load;
  {
    MutexLock lock(mutex_);
    ++under_way_;
    load = history_.BeginLoad();
  }
  space_.Load(offsets, [this, offsets, load](const StatusOr<std::vector<LoadedPage>>& pages) {
    MutexLock lock(mutex_);
    --under_way_;
    counts_.unknown += !pages.ok();
    if (pages.ok()) {
      history_.CheckPages(load, offsets, *pages);
      CountLoaded(*pages);
    }
    history_.EndLoad(load);
  });
}

void EntryWorkload::LoadUnmixed() {
  Extent folio;
  EntryHistory::Load load;
  {
    MutexLock lock(mutex_);
    ++under_way_;
    folio = PickFolio();
    load = history_.BeginLoad();
  }
  space_.LoadUnmixed(folio, [this, folio, load](const StatusOr<std::vector<LoadedPage>>& pages) {
    MutexLock lock(mutex_);
    --under_way_;
    if (pages.ok()) {
      history_.CheckPages(load, SlotsOf(folio), *pages);
      history_.CheckUnmixed(load, folio, false);
      CountLoaded(*pages);
      ++counts_.unmixed_folios;
    } else if (ReasonOf(pages.status()) == ErrorReason::kMixed) {
      history_.CheckUnmixed(load, folio, true);
      ++counts_.mixed_folios;
    } else {
      ++counts_.unknown;
    }
    history_.EndLoad(load);
  });
}

void EntryWorkload::Backing() {
  Extent extent;
  EntryHistory::Load load;
  {
    MutexLock lock(mutex_);
    ++under_way_;
    extent = PickExtent();
    const uint64_t left = options_.space_pages - extent.offset;
    extent.pages = static_cast<uint32_t>(1 + random_.Below(std::min<uint64_t>(left, 600)));
    load = history_.BeginLoad();
  }
  space_.Backing(extent, [this, extent, load](const StatusOr<SlotRun>& run) {
    MutexLock lock(mutex_);
    --under_way_;
    ++counts_.backing_queries;
    counts_.unknown += !run.ok();
    if (run.ok()) {
      history_.CheckBacking(load, extent, *run);
    }
    history_.EndLoad(load);
  });
}

// --- Everything.

void EntryWorkload::LoadAll() {
  Offsets all;
  {
    MutexLock lock(mutex_);
    all = history_.Slots();
  }
  for (size_t begin = 0; begin < all.size();) {
    Offsets batch = BatchOf(all, begin);
    begin += batch.size();
    LoadSlots(std::move(batch));
  }
}

bool EntryWorkload::FreeAll() {
  std::vector<EntryHistory::Uses> batches;
  {
    MutexLock lock(mutex_);
    const Offsets live = history_.LiveSlots();
    for (size_t begin = 0; begin < live.size();) {
      const Offsets batch = BatchOf(live, begin);
      begin += batch.size();
      batches.push_back(history_.BeginFree(batch));
      Begin(batches.back());
    }
  }
  for (const EntryHistory::Uses& batch : batches) {
    SendFree(batch);
  }
  return !batches.empty();
}

std::vector<std::string> EntryWorkload::wrong_pages() {
  MutexLock lock(mutex_);
  std::vector<std::string> wrong = history_.wrong();
  if (counts_.lost_pages > 0 && !options_.loss_allowed) {
    wrong.push_back("space " + std::to_string(id_) + ": " + std::to_string(counts_.lost_pages) +
                    " pages were answered as lost");
  }
  return wrong;
}

// --- Choosing and counting.

Extent EntryWorkload::PickExtent() {
  const size_t i = random_.Below(extents_.size());
  const Extent extent = extents_[i];
  const auto gone = [this](Offset offset) {
    mutex_.AssertHeld();
    return !history_.SurelyLive(offset);
  };
  // What is gone is looked at for a while.
  if (extents_.size() > 1 && random_.Below(4) == 0 && std::ranges::all_of(SlotsOf(extent), gone)) {
    extents_[i] = extents_.back();
    extents_.pop_back();
  }
  return extent;
}

EntryWorkload::Offsets EntryWorkload::PickSlots(Fits fits) {
  const uint64_t count = 1 + random_.Below(kExtentsMax);
  const uint32_t pages_max = random_.Below(40) == 0 ? kBatchPagesMax : options_.batch_pages_max;
  const bool all = random_.Below(2) == 0;
  Offset stripe = 0;
  std::set<Offset> slots;
  for (uint64_t i = 0; i < count; ++i) {
    const Extent extent = PickExtent();
    stripe = i == 0 ? extent.offset / kStripePages : stripe;
    if (extent.offset / kStripePages != stripe) {
      continue;
    }
    const Offset end = extent.offset + extent.pages;
    Offset next = extent.offset + (all ? 0 : random_.Below(extent.pages));
    for (; next < end && slots.size() < pages_max; ++next) {
      if ((history_.*fits)(next)) {
        slots.insert(next);
      }
    }
  }
  return {slots.begin(), slots.end()};
}

EntryWorkload::Offsets EntryWorkload::PickSlots(Fits fits, Fits fits_or_gone) {
  return PickSlots(random_.Below(3) == 0 ? fits_or_gone : fits);
}

Extent EntryWorkload::PickFolio() {
  Extent folio = PickExtent();
  while (folio.pages > 1 &&
         (folio.pages > options_.batch_pages_max ? random_.Below(8) : random_.Below(3)) != 0) {
    folio.pages /= 2;
    folio.offset += random_.Below(2) * folio.pages;
  }
  return folio;
}

bool EntryWorkload::AllLive(Extent folio) {
  return std::ranges::all_of(SlotsOf(folio), [this](Offset offset) {
    mutex_.AssertHeld();
    return history_.SurelyLive(offset);
  });
}

void EntryWorkload::Begin(const EntryHistory::Uses& uses) {
  ++under_way_;
  of_gone_ += NamesGone(uses);
}

void EntryWorkload::End(const EntryHistory::Uses& uses) {
  --under_way_;
  of_gone_ -= NamesGone(uses);
}

void EntryWorkload::CountCodes(const StatusOr<std::vector<PageCode>>& codes) {
  counts_.unknown += !codes.ok();
  for (size_t i = 0; codes.ok() && i < codes->size(); ++i) {
    const PageCode code = codes->at(i);
    counts_.stored_pages += code == PageCode::kOk;
    counts_.shared_pages += code == PageCode::kFailedPrecondition;
    counts_.not_found_pages += code == PageCode::kNotFound;
    counts_.refused_pages += code != PageCode::kOk && code != PageCode::kFailedPrecondition &&
                             code != PageCode::kNotFound;
  }
}

void EntryWorkload::CountLoaded(const std::vector<LoadedPage>& pages) {
  for (const LoadedPage& page : pages) {
    counts_.loaded_pages += page.code == PageCode::kOk;
    counts_.not_found_pages += page.code == PageCode::kNotFound;
    counts_.unavailable_pages += page.code == PageCode::kUnavailable;
    counts_.lost_pages += page.code == PageCode::kDataLoss;
  }
}

}  // namespace vswap
