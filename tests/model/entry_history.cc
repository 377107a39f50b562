#include "tests/model/entry_history.h"

#include <algorithm>

namespace vswap {
namespace {

constexpr size_t kWrongMax = 20;
constexpr uint32_t kSharedMax = 6;

bool NotDone(const Status& status) { return ReasonOf(status) == ErrorReason::kSuperseded; }

std::string NameOf(BackingKind kind) {
  static constexpr const char* kNames[] = {"unset",    "none", "zero", "compressed",
                                           "physical", "lost", "free"};
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace

// --- References.

EntryHistory::Use EntryHistory::Begin(Offset offset) {
  const auto slot = slots_.find(offset);
  const bool gone = slot == slots_.end() || slot->second.held == 0;
  return {offset, gone, gone ? 0 : slot->second.life, 0};
}

EntryHistory::Slot* EntryHistory::Find(const Use& use) {
  return use.gone ? nullptr : &slots_.at(use.offset);
}

void EntryHistory::AddUser(Slot& slot) {
  if (slot.users++ == 0) {
    slot.maybe_one = false;
    slot.maybe_more = false;
  }
  Note(slot);
}

void EntryHistory::Note(Slot& slot) {
  slot.maybe_one = slot.maybe_one || slot.held <= 1;
  slot.maybe_more = slot.maybe_more || slot.held + slot.adding + slot.dropping > 1;
}

void EntryHistory::EndAllocate(uint32_t order, uint32_t count,
                               const StatusOr<std::vector<Extent>>& extents) {
  --allocations_;
  allocation_answered_ = now_++;
  if (!extents.ok()) {
    if (extents.status().code() != StatusCode::kResourceExhausted) {
      Wrong(0, "an allocation answered " + extents.status().ToString());
    }
    return;
  }
  if (extents->empty() || extents->size() > count) {
    Wrong(0, "an allocation of " + std::to_string(count) + " extents gave " +
                 std::to_string(extents->size()));
  }
  for (const Extent& extent : *extents) {
    if (extent.pages != 1u << order || extent.offset % extent.pages != 0 ||
        extent.offset + extent.pages > space_pages_) {
      Wrong(extent.offset, "an allocation of order " + std::to_string(order) +
                               " gave an extent of " + std::to_string(extent.pages) + " slots");
    }
    for (uint32_t i = 0; i < extent.pages; ++i) {
      Give(extent.offset + i);
    }
  }
}

void EntryHistory::Give(Offset offset) {
  Slot& slot = slots_[offset];
  if (slot.held > 0) {
    return Wrong(offset, "it was handed out while it is live");
  }
  // Frees of the life before may still be unanswered.
  slot = {.life = slot.life + 1, .held = 1, .given = now_++, .gone = slot.gone};
  ++references_;
  contents_.EndWrite(offset, contents_.BeginWrite(offset, 0), History::Outcome::kApplied);
}

EntryHistory::Uses EntryHistory::BeginDuplicate(const std::vector<Offset>& offsets) {
  Uses uses;
  for (const Offset offset : offsets) {
    const Use use = Begin(offset);
    if (Slot* slot = Find(use)) {
      AddUser(*slot);
      ++slot->adding;
      Note(*slot);
    }
    uses.push_back(use);
  }
  return uses;
}

void EntryHistory::EndDuplicate(const Uses& uses, const StatusOr<std::vector<PageCode>>& codes) {
  if (!codes.ok() && !NotDone(codes.status())) {
    Wrong(uses[0].offset, "a duplicate answered " + codes.status().ToString());
  }
  for (size_t i = 0; i < uses.size(); ++i) {
    Slot* const slot = Find(uses[i]);
    if (codes.ok() && codes->at(i) != (slot ? PageCode::kOk : PageCode::kNotFound)) {
      Wrong(uses[i].offset, std::string("a duplicate of ") + (slot ? "an" : "no") +
                                " entry answered " + Name(codes->at(i)));
    }
    if (slot) {
      --slot->adding;
      --slot->users;
      const bool done = codes.ok() && codes->at(i) == PageCode::kOk;
      slot->held += done;
      references_ += done;
      Note(*slot);
    }
  }
}

EntryHistory::Uses EntryHistory::BeginFree(const std::vector<Offset>& offsets) {
  Uses uses;
  for (const Offset offset : offsets) {
    const Use use = Begin(offset);
    if (Slot* slot = Find(use)) {
      --slot->held;
      ++slot->dropping;
      --references_;
      Note(*slot);
    }
    uses.push_back(use);
  }
  return uses;
}

void EntryHistory::EndFree(const Uses& uses, const StatusOr<uint64_t>& count) {
  const auto expected =
      static_cast<uint64_t>(std::ranges::count(uses, false, [](const Use& u) { return u.gone; }));
  if (count.ok() && *count != expected) {
    Wrong(uses[0].offset, "a free of " + std::to_string(expected) + " references dropped " +
                              std::to_string(*count));
  } else if (!count.ok() && !NotDone(count.status())) {
    Wrong(uses[0].offset, "a free answered " + count.status().ToString());
  }
  for (const Use& use : uses) {
    EndDrop(use, count.ok());
  }
}

void EntryHistory::EndDrop(const Use& use, bool done) {
  Slot* const slot = Find(use);
  if (!slot) {
    return;
  }
  if (slot->life != use.life) {  // handed out again before the free was answered
    return done ? void() : Wrong(use.offset, "it was handed out again but not freed");
  }
  --slot->dropping;
  slot->held += !done;
  references_ += !done;
  Note(*slot);
  if (slot->held + slot->dropping == 0) {
    slot->gone = now_++;
  }
}

// --- Stores.

EntryHistory::Use EntryHistory::BeginStore(Offset offset, History::Content content) {
  Use use = Begin(offset);
  if (Slot* slot = Find(use)) {
    AddUser(*slot);
    use.write = contents_.BeginWrite(offset, content);
  }
  return use;
}

void EntryHistory::EndStore(const Uses& uses, const StatusOr<std::vector<PageCode>>& codes,
                            const StoreKind& kind) {
  const auto [whole, owners_change, over] = kind;
  const auto any_more = [&](const Use& use) { return !use.gone && Find(use)->maybe_more; };
  const bool one_more = std::ranges::any_of(uses, any_more);
  for (size_t i = 0; i < uses.size(); ++i) {
    const Use& use = uses[i];
    const PageCode code = codes.ok() ? codes->at(i) : PageCode::kUnset;
    if (whole && codes.ok() && code != codes->front()) {
      Wrong(use.offset, std::string("of a folio stored as a whole it has ") + Name(code) +
                            ", the first page " + Name(codes->front()));
    }
    Slot* const slot = Find(use);
    if (!slot) {
      if (code != PageCode::kNotFound && code != PageCode::kUnset) {
        Wrong(use.offset, std::string("a store to no entry answered ") + Name(code));
      }
      continue;
    }
    const bool shared = whole ? one_more : slot->maybe_more;
    if (code == PageCode::kNotFound || (code == PageCode::kFailedPrecondition && !shared) ||
        (code == PageCode::kOk && !slot->maybe_one)) {
      Wrong(use.offset, std::string("a store answered ") + Name(code) +
                            "; references: " + std::to_string(slot->held) + " held");
    }
    --slot->users;
    const History::Outcome refused = over ? History::Outcome::kOver
                                     : code == PageCode::kUnset || owners_change
                                         ? History::Outcome::kMaybe
                                         : History::Outcome::kNot;
    contents_.EndWrite(use.offset, use.write,
                       code == PageCode::kOk ? History::Outcome::kApplied : refused);
  }
}

// --- Loads.

bool EntryHistory::LiveSince(Offset offset, Time began) const {
  const auto slot = slots_.find(offset);
  return slot != slots_.end() && slot->second.held > 0 && slot->second.given < began;
}

bool EntryHistory::MayBeLiveSince(Offset offset, Time began) const {
  const auto slot = slots_.find(offset);
  return slot != slots_.end() &&
         (slot->second.held + slot->second.dropping > 0 || slot->second.gone > began);
}

bool EntryHistory::MayBeNewSince(Offset offset, Time began) const {
  return !LiveSince(offset, began) && (allocating() || allocation_answered_ > began);
}

void EntryHistory::CheckPages(const Load& load, const std::vector<Offset>& offsets,
                              const std::vector<LoadedPage>& pages) {
  for (size_t i = 0; i < offsets.size(); ++i) {
    CheckPage(load, offsets[i], pages[i]);
  }
}

void EntryHistory::CheckPage(const Load& load, Offset offset, const LoadedPage& page) {
  if (page.code == PageCode::kDataLoss && SurelyWas(load, offset) == Surely::kZeros) {
    return Wrong(offset, "zeros are lost");
  }
  if (page.code == PageCode::kNotFound) {
    return LiveSince(offset, load.began) ? Wrong(offset, "a live entry was not found") : void();
  }
  if (page.code != PageCode::kOk ||
      (MayBeNewSince(offset, load.began) && page.bytes == ZeroPage())) {
    return;
  }
  if (!MayBeLiveSince(offset, load.began)) {
    return Wrong(offset, "a freed entry was loaded");
  }
  contents_.CheckPage(load.contents, offset, page.bytes);
}

EntryHistory::Surely EntryHistory::SurelyWas(const Load& load, Offset offset) const {
  if (LiveSince(offset, load.began)) {
    const History::Candidates may = contents_.MayReturn(load.contents, offset);
    return may.zeros && may.others ? Surely::kNothing
                                   : (may.zeros ? Surely::kZeros : Surely::kOther);
  }
  const bool gone = !MayBeLiveSince(offset, load.began) && !MayBeNewSince(offset, load.began);
  return gone ? Surely::kGone : Surely::kNothing;
}

void EntryHistory::CheckUnmixed(const Load& load, Extent folio, bool mixed) {
  bool was[4] = {};
  for (uint32_t i = 0; i < folio.pages; ++i) {
    was[static_cast<size_t>(SurelyWas(load, folio.offset + i))] = true;
  }
  const bool gone = was[static_cast<size_t>(Surely::kGone)];
  const bool zeros = was[static_cast<size_t>(Surely::kZeros)];
  const bool other = was[static_cast<size_t>(Surely::kOther)];
  const bool unsure = was[static_cast<size_t>(Surely::kNothing)];
  if (mixed && (folio.pages == 1 || (!zeros && !other && !unsure))) {
    Wrong(folio.offset, "a folio of one backing is called mixed");
  } else if (!mixed && gone + zeros + other > 1) {
    Wrong(folio.offset, "a folio of several backings is not called mixed");
  }
}

void EntryHistory::CheckBacking(const Load& load, Extent extent, const SlotRun& run) {
  if (run.pages == 0 || run.pages > extent.pages) {
    return Wrong(extent.offset, "its backing goes over " + std::to_string(run.pages) +
                                    " slots, asked for were " + std::to_string(extent.pages));
  }
  for (uint64_t i = 0; i < run.pages; ++i) {
    const Offset offset = extent.offset + i;
    const Surely was = SurelyWas(load, offset);
    const bool live = LiveSince(offset, load.began);
    bool right = false;
    switch (run.kind) {
      case BackingKind::kFree:
        right = !live;
        break;
      case BackingKind::kNone:
      case BackingKind::kZero:
        right = was != Surely::kGone && was != Surely::kOther;
        break;
      case BackingKind::kCompressed:
      case BackingKind::kPhysical:
        right = was != Surely::kZeros && MayBeLiveSince(offset, load.began);
        break;
      case BackingKind::kLost:
        right = loss_allowed_ && was != Surely::kZeros && MayBeLiveSince(offset, load.began);
        break;
      case BackingKind::kUnset:
        break;
    }
    if (!right) {
      return Wrong(offset, "its backing cannot be " + NameOf(run.kind));
    }
  }
}

// --- What there is.

bool EntryHistory::SurelyLive(Offset offset) const { return References(offset) > 0; }

bool EntryHistory::SurelyGone(Offset offset) const {
  const auto slot = slots_.find(offset);
  return !allocating() && (slot == slots_.end() || slot->second.held + slot->second.dropping == 0);
}

bool EntryHistory::MayShare(Offset offset) const {
  const uint32_t references = References(offset);
  return references > 0 && references < kSharedMax;
}

bool EntryHistory::MayDrop(Offset offset) const {
  const auto slot = slots_.find(offset);
  return slot != slots_.end() && slot->second.held > (slot->second.users > 0 ? 1u : 0u);
}

uint32_t EntryHistory::References(Offset offset) const {
  const auto slot = slots_.find(offset);
  return slot == slots_.end() ? 0 : slot->second.held;
}

std::vector<Offset> EntryHistory::Slots() const {
  std::vector<Offset> offsets;
  for (const auto& [offset, slot] : slots_) {
    offsets.push_back(offset);
  }
  return offsets;
}

std::vector<Offset> EntryHistory::LiveSlots() const {
  std::vector<Offset> offsets = Slots();
  std::erase_if(offsets, [this](Offset offset) { return !SurelyLive(offset); });
  return offsets;
}

std::vector<std::string> EntryHistory::wrong() const {
  std::vector<std::string> wrong = wrong_;
  const std::vector<std::string>& pages = contents_.wrong_pages();
  wrong.insert(wrong.end(), pages.begin(), pages.end());
  return wrong;
}

void EntryHistory::Wrong(Offset offset, const std::string& what) {
  if (wrong_.size() < kWrongMax) {
    wrong_.push_back("space " + std::to_string(space_) + " offset " + std::to_string(offset) +
                     ": " + what);
  }
}

}  // namespace vswap
