#include "tests/sim/entry_oracle.h"

#include <algorithm>
#include <utility>

namespace vswap {
namespace {

constexpr size_t kWrongMax = 20;

uint32_t At(const EntryOracle::References& found, Offset offset) {
  const auto it = found.find(offset);
  return it == found.end() ? 0 : it->second;
}

bool HasDone(const MutationResult& result) {
  return result.freed_pages > 0 || !result.offsets.empty() ||
         std::ranges::count(result.codes, PageCode::kOk) > 0;
}

// Whether the service says that it did not happen, and never will.
MutationResult NotDone() {
  return {MakeError(ErrorReason::kSuperseded, "was not done"), {}, 0, {}};
}

template <typename T>
StatusOr<T> OrStatus(const MutationResult& result, T value) {
  return result.status.ok() ? StatusOr<T>(std::move(value)) : result.status;
}

}  // namespace

EntryOracle::ChangePtr EntryOracle::Begin(Kind kind, Token token) {
  auto change = std::make_shared<Change>();
  change->kind = kind;
  change->token = token;
  change->fenced = token < attached_;
  if (!change->fenced) {
    undecided_.push_back(change);
  }
  return change;
}

EntryOracle::ChangePtr EntryOracle::BeginAllocate(Token token, uint32_t order, uint32_t count) {
  auto change = Begin(Kind::kAllocate, token);
  change->order = order;
  change->count = count;
  if (!change->fenced) {
    history_.BeginAllocate();
  }
  return change;
}

EntryOracle::ChangePtr EntryOracle::BeginDuplicate(Token token,
                                                   const std::vector<Offset>& offsets) {
  auto change = Begin(Kind::kDuplicate, token);
  if (!change->fenced) {
    change->uses = history_.BeginDuplicate(offsets);
  }
  return change;
}

EntryOracle::ChangePtr EntryOracle::BeginFree(Token token, const std::vector<Offset>& offsets) {
  auto change = Begin(Kind::kFree, token);
  if (!change->fenced) {
    change->uses = history_.BeginFree(offsets);
  }
  return change;
}

EntryOracle::ChangePtr EntryOracle::BeginStore(Token token, const std::vector<Offset>& offsets,
                                               const std::vector<History::Content>& contents) {
  auto change = Begin(Kind::kStore, token);
  for (size_t i = 0; i < offsets.size() && !change->fenced; ++i) {
    change->uses.push_back(history_.BeginStore(offsets[i], contents[i]));
  }
  return change;
}

void EntryOracle::End(Change& change, const MutationResult& result,
                      const EntryHistory::StoreKind& kind) {
  if (change.fenced || change.decided) {
    if (HasDone(result) && !change.done) {
      Wrong(change.uses.empty() ? 0 : change.uses.front().offset,
            "a change of an attachment that had been replaced was done");
    }
    return;
  }
  change.decided = true;
  change.done = result.status.ok();
  std::erase_if(undecided_, [&](const ChangePtr& other) { return other.get() == &change; });
  switch (change.kind) {
    case Kind::kAllocate:
      return EndAllocate(change, result);
    case Kind::kDuplicate:
      return history_.EndDuplicate(change.uses, OrStatus(result, result.codes));
    case Kind::kFree:
      return history_.EndFree(change.uses, OrStatus<uint64_t>(result, result.freed_pages));
    case Kind::kStore:
      return history_.EndStore(change.uses, OrStatus(result, result.codes), kind);
  }
}

void EntryOracle::EndAllocate(const Change& change, const MutationResult& result) {
  std::vector<Extent> extents;
  for (const Offset offset : result.offsets) {
    extents.push_back({offset, 1u << change.order});
  }
  history_.EndAllocate(change.order, change.count, OrStatus(result, std::move(extents)));
}

// --- Loads.

void EntryOracle::CheckPage(const Load& load, Offset offset, const LoadedPage& page) {
  if (load.fenced && page.code == PageCode::kOk) {
    Wrong(offset, "an attachment that had been replaced got data");
  }
  history_.CheckPages(load.at, {offset}, {page});
}

void EntryOracle::CheckLost(const Load& load, Offset offset) {
  const auto destroyed = destroyed_.find(offset);
  const bool may_be = destroyed != destroyed_.end() &&
                      std::ranges::any_of(destroyed->second, [&](History::Content content) {
                        return history_.MayHold(load.at, offset, content);
                      });
  if (!may_be) {
    Wrong(offset, "it was answered as lost, and nothing that it may hold was destroyed");
  }
}

// --- Attachments.

void EntryOracle::Attached(Token token) { attached_ = std::max(attached_, token); }

void EntryOracle::Surveyed(Token token, const References& found) {
  if (token != attached_) {
    return;  // whoever replaced it will say
  }
  const std::vector<ChangePtr> undecided = undecided_;
  for (const ChangePtr& change : undecided) {
    if (change->kind != Kind::kAllocate) {
      Decide(*change, found);
    }
  }
  for (const ChangePtr& change : undecided) {
    if (change->kind == Kind::kAllocate) {
      DecideAllocation(*change, found);
    }
  }
  for (const ChangePtr& change : undecided) {
    if (change->kind != Kind::kStore) {
      ++(change->done ? found_done_ : found_not_done_);
    }
  }
  Compare(found);
}

void EntryOracle::Decide(Change& change, const References& found) {
  if (change.kind == Kind::kStore) {
    End(change, NotDone(), {.over = true});
    change.done = true;  // or not: nobody will know
    return;
  }
  if (!WasDone(change, found)) {
    return End(change, NotDone());
  }
  change.kind == Kind::kFree
      ? End(change, {{}, {}, static_cast<uint32_t>(change.uses.size()), {}})
      : End(change, {{}, std::vector(change.uses.size(), PageCode::kOk), 0, {}});
}

// References given up are not counted any more, and those to be added not yet.
bool EntryOracle::WasDone(const Change& change, const References& found) {
  size_t slots_done = 0;
  for (const EntryHistory::Use& use : change.uses) {
    const uint32_t before = history_.References(use.offset) + (change.kind == Kind::kFree ? 1 : 0);
    slots_done += At(found, use.offset) != before;
  }
  if (slots_done != 0 && slots_done != change.uses.size()) {
    Wrong(change.uses.front().offset, "a part of a change of references was done");
  }
  return slots_done != 0;
}

// What nobody else has handed out.
void EntryOracle::DecideAllocation(Change& change, const References& found) {
  MutationResult result;
  uint64_t slots = 0;
  for (const auto& [offset, references] : found) {
    if (history_.References(offset) != 0) {
      continue;
    }
    if (slots++ % (uint64_t{1} << change.order) == 0) {
      result.offsets.push_back(offset);
    }
  }
  if (slots == 0) {
    result.status = MakeError(StatusCode::kResourceExhausted, "was not done");
  }
  End(change, result);
}

void EntryOracle::Compare(const References& found) {
  for (const Offset offset : history_.LiveSlots()) {
    if (!found.contains(offset)) {
      Wrong(offset, "there is no entry; references: " +
                        std::to_string(history_.References(offset)) + " held");
    }
  }
  for (const auto& [offset, references] : found) {
    if (references != history_.References(offset)) {
      Wrong(offset, "the entry has " + std::to_string(references) +
                        " references; held: " + std::to_string(history_.References(offset)));
    }
  }
}

std::vector<std::string> EntryOracle::wrong() const {
  std::vector<std::string> all = history_.wrong();
  all.insert(all.end(), wrong_.begin(), wrong_.end());
  return all;
}

void EntryOracle::Wrong(Offset offset, const std::string& what) {
  if (wrong_.size() < kWrongMax) {
    wrong_.push_back("space " + std::to_string(space_) + " offset " + std::to_string(offset) +
                     ": " + what);
  }
}

}  // namespace vswap
