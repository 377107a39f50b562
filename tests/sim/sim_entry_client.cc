#include "tests/sim/sim_entry_client.h"

#include <algorithm>
#include <utility>

#include "tests/support/extents.h"

namespace vswap {
namespace {

constexpr uint64_t kHeldMax = 24;  // that it has at once

}  // namespace

// --- What there is.

void SimEntryClient::OnAttached() {
  oracle_ = &find_oracle_(client_->space());
  oracle_->Attached(client_->token());
  for (Offset offset = 0; offset < client_->pages(); offset += kStripePages) {
    const auto pages =
        static_cast<uint32_t>(std::min<uint64_t>(kStripePages, client_->pages() - offset));
    Survey({offset, pages}, [this, offset](const std::vector<BackingRun>& runs) {
      Offset next = offset;
      for (const BackingRun& run : runs) {
        for (uint32_t i = 0; i < run.pages && !run.free; ++i) {
          Survey({next + i, 1}, [this, slot = next + i](const std::vector<BackingRun>& one) {
            found_[slot] = one.at(0).first.companion.references();
          });
        }
        next += run.pages;
      }
    });
  }
}

void SimEntryClient::Survey(Extent extent,
                            std::function<void(const std::vector<BackingRun>&)> found) {
  ++surveying_;
  const OpPtr op = MakeOp("extents", {extent.offset}, extent.offset);
  op->may_give_up = false;
  op->send = [this, extent, found = std::move(found)](const OpPtr& sent, SimFrontEnd& to) {
    Ask<std::vector<BackingRun>>(
        sent, to,
        [&to, extent, header = sent->header](const Callback<std::vector<BackingRun>>& answer) {
          to.front_end().Extents(header, extent, answer);
        },
        [this, found](const std::vector<BackingRun>& runs) {
          runs.empty() ? Wrong("nobody could say which entries there are") : found(runs);
          if (--surveying_ == 0) {
            oracle_->Surveyed(client_->token(), found_);
            surveyed_ = true;
          }
        });
  };
  Begin(op);
}

// --- Requests.

bool SimEntryClient::IssueOne() {
  if (!surveyed_) {
    return false;
  }
  if (random_.Below(100) >= options_.loads_percent) {
    return IssueChange();
  }
  const std::vector<Offset> offsets = PickSlots([](Offset) { return true; });
  if (!offsets.empty()) {
    Load(offsets);
  }
  return !offsets.empty();
}

bool SimEntryClient::IssueChange() {
  const EntryHistory& history = oracle_->history();
  const uint64_t dice = random_.Below(100);
  if (dice < 25) {
    const bool may = history.references() < kHeldMax && !history.allocating();
    if (may && last_frees_ == 0) {
      Allocate();
    }
    return may;
  }
  const bool store = dice >= 70;
  const bool duplicate = dice < 45;
  const std::vector<Offset> offsets = PickSlots([&](Offset offset) {
    if (changing_.contains(offset)) {
      return false;
    }
    return store       ? history.SurelyLive(offset)
           : duplicate ? history.MayShare(offset)
                       : history.References(offset) > (history.allocating() ? 1u : 0u);
  });
  if (!offsets.empty()) {
    store ? Store(offsets) : duplicate ? Duplicate(offsets) : Free(offsets);
  }
  return !offsets.empty();
}

std::vector<Offset> SimEntryClient::PickSlots(const std::function<bool(Offset)>& wanted) {
  std::vector<Offset> slots = oracle_->history().Slots();
  std::erase_if(slots, [&](Offset offset) { return !wanted(offset); });
  if (slots.empty()) {
    return {};
  }
  const uint64_t count = 1 + random_.Below(options_.batch_pages_max);
  std::vector<Offset> picked;
  for (size_t i = random_.Below(slots.size()); i < slots.size() && picked.size() < count; ++i) {
    if (picked.empty() || client_->ShardAt(slots[i]) == client_->ShardAt(picked.front())) {
      picked.push_back(slots[i]);
    }
  }
  return picked;
}

void SimEntryClient::StoreAll() {
  for (const Offset offset : oracle_->history().LiveSlots()) {
    if (oracle_->history().References(offset) == 1) {
      Store({offset});
    }
  }
}

void SimEntryClient::LoadAll() {
  for (const Offset offset : oracle_->history().Slots()) {
    Load({offset});
  }
}

void SimEntryClient::FreeAll() {
  freeing_all_ = true;
  for (const Offset offset : oracle_->history().LiveSlots()) {
    Free({offset});
  }
}

void SimEntryClient::Load(const std::vector<Offset>& offsets) {
  const EntryOracle::Load load = oracle_->BeginLoad(client_->token());
  LoadPages(offsets, {.page =
                          [this, load](Offset offset, const PageBytes& bytes) {
                            oracle_->CheckPage(load, offset, {PageCode::kOk, bytes});
                          },
                      .none =
                          [this, load](Offset offset) {
                            oracle_->CheckPage(load, offset, {PageCode::kNotFound, {}});
                          },
                      .lost = [this, load](Offset offset) { oracle_->CheckLost(load, offset); },
                      .over = [this, load] { oracle_->EndLoad(load); }});
}

void SimEntryClient::Store(const std::vector<Offset>& offsets) {
  const OpPtr op = MakeOp("store", offsets, offsets.front());
  std::vector<History::Content> contents;
  const StoreCall call = MakeStore(
      *op, [this] { return oracle_->NewContent(); }, &contents);
  Change(op, oracle_->BeginStore(client_->token(), offsets, contents), call.whole,
         [call](FrontEnd& front_end, const RequestHeader& header, MutationDone done) {
           StoreCall now = call;
           now.header = header;
           front_end.Store(now, std::move(done));
         });
}

void SimEntryClient::Allocate() {
  const Offset near = random_.Below(client_->pages());
  const OpPtr op = MakeOp("allocate", {}, near);
  const auto order = static_cast<uint32_t>(random_.Below(4) == 0 ? random_.Below(4) : 0);
  const auto count = static_cast<uint32_t>(1 + random_.Below(3));
  Change(op, oracle_->BeginAllocate(client_->token(), order, count), false,
         [order, count](FrontEnd& front_end, const RequestHeader& header, MutationDone done) {
           front_end.Allocate({header, {.order = order, .count = count}}, std::move(done));
         });
}

void SimEntryClient::Duplicate(const std::vector<Offset>& offsets) {
  const OpPtr op = MakeOp("duplicate", offsets, offsets.front());
  Change(op, oracle_->BeginDuplicate(client_->token(), offsets), false,
         [offsets](FrontEnd& front_end, const RequestHeader& header, MutationDone done) {
           front_end.Duplicate({header, ExtentsOf(offsets)}, std::move(done));
         });
}

void SimEntryClient::Free(const std::vector<Offset>& offsets) {
  const OpPtr op = MakeOp("free", offsets, offsets.front());
  const auto change = oracle_->BeginFree(client_->token(), offsets);
  const bool last = std::ranges::any_of(
      offsets, [&](Offset offset) { return oracle_->history().References(offset) == 0; });
  last_frees_ += last;
  Change(op, change, false,
         [offsets](FrontEnd& front_end, const RequestHeader& header, MutationDone done) {
           front_end.Free({header, ExtentsOf(offsets)}, std::move(done));
         });
  if (last || freeing_all_) {
    op->over = [this, last, offsets, over = op->over] {
      over();
      last_frees_ -= last;
      if (freeing_all_ && oracle_->history().References(offsets.front()) > 0) {
        Free(offsets);
      }
    };
  }
}

void SimEntryClient::Change(const OpPtr& op, const EntryOracle::ChangePtr& change, bool whole,
                            Effect effect) {
  op->may_give_up = false;
  MarkChanging(op);
  const EntryOracle::Kind kind = change->kind;
  const bool frees_twice = options_.bug == PlantedBug::kFreeAppliedTwice;
  const bool allocates_twice = options_.bug == PlantedBug::kAllocationAppliedTwice;
  const bool applied_twice = (frees_twice && kind == EntryOracle::Kind::kFree) ||
                             (allocates_twice && kind == EntryOracle::Kind::kAllocate);
  if (frees_twice || allocates_twice) {
    spare_ = SpareSequence(0);
  }
  op->send = [this, change, whole, applied_twice, effect = std::move(effect)](const OpPtr& sent,
                                                                              SimFrontEnd& to) {
    std::function<void(Callback<MutationResult>)> again;
    if (applied_twice) {
      again = [this, &to, header = sent->header, effect](Callback<MutationResult> answer) {
        RequestHeader fresh = header;
        fresh.sequence = spare_;
        effect(to.front_end(), fresh, AnswerWith(std::move(answer)));
      };
    }
    Ask<MutationResult>(
        sent, to,
        [&to, header = sent->header, effect](Callback<MutationResult> answer) {
          effect(to.front_end(), header, AnswerWith(std::move(answer)));
        },
        [this, sent, change, whole](const MutationResult& result) {
          OnChanged(*sent, *change, whole, result);
        },
        again);
  };
  Begin(op);
}

void SimEntryClient::OnChanged(const Op& op, EntryOracle::Change& change, bool whole,
                               const MutationResult& result) {
  const bool no_slots = change.kind == EntryOracle::Kind::kAllocate &&
                        result.status.code() == StatusCode::kResourceExhausted;
  // What the planted bug puts into the window is not to be what gives it away.
  const bool of_bug = spare_ != 0 && ReasonOf(result.status) == ErrorReason::kSuperseded;
  if (!result.status.ok() && !no_slots && !of_bug) {
    Wrong("a change was refused: " + std::string(MessageOf(result.status)));
  }
  for (const PageCode code : result.codes) {
    // Whether an entry has several references, or is none, the oracle knows.
    const bool of_entry = code == PageCode::kOk || code == PageCode::kFailedPrecondition ||
                          code == PageCode::kNotFound;
    if (!of_entry && (code != PageCode::kUnavailable || answers_expected_) &&
        (code != PageCode::kResourceExhausted || !options_.full_expected)) {
      Wrong("a page was refused with " + std::string(Name(code)));
    }
  }
  oracle_->End(change, result, {.whole = whole, .owners_change = op.other_epochs});
}

}  // namespace vswap
