#include "tests/sim/sim_device_client.h"

#include <algorithm>
#include <set>
#include <utility>

#include "tests/support/extents.h"

namespace vswap {
namespace {

// The same pages in another request.
StoreCall WithSequence(const StoreCall& call, Sequence sequence) {
  std::vector<ContentAt> pages;
  for (const PageIn& page : call.pages) {
    pages.push_back({page.offset, PageBytes(page.bytes.begin(), page.bytes.end())});
  }
  RequestHeader header = call.header;
  header.sequence = sequence;
  StoreCall again = FrontEndClient::MakeStore(header, std::move(pages));
  again.extents = call.extents;
  return again;
}

}  // namespace

bool SimDeviceClient::IssueOne() {
  const bool free = random_.Below(6) == 0;
  const bool load = random_.Below(100) < options_.loads_percent;
  const std::vector<Offset> offsets = PickSlots(!load);
  if (offsets.empty()) {
    return false;
  }
  load ? Load(offsets) : free ? Free(offsets) : Store(offsets);
  return true;
}

// Ascending, of one shard.
std::vector<Offset> SimDeviceClient::PickSlots(bool free_of_changes) {
  const uint64_t count = 1 + random_.Below(options_.batch_pages_max);
  std::set<Offset> offsets;
  const size_t first = random_.Below(options_.slots.size());
  for (size_t i = 0; i < count && first + i < options_.slots.size(); ++i) {
    const Offset offset = options_.slots[first + i];
    const bool same_shard =
        offsets.empty() || client_->ShardAt(offset) == client_->ShardAt(*offsets.begin());
    if (same_shard && !(free_of_changes && changing_.contains(offset))) {
      offsets.insert(offset);
    }
  }
  return {offsets.begin(), offsets.end()};
}

void SimDeviceClient::StoreAll() {
  for (const Offset offset : oracle_->SlotsWritten()) {
    Store({offset});
  }
}

void SimDeviceClient::LoadAll() {
  for (const Offset offset : oracle_->SlotsWritten()) {
    Load({offset});
  }
}

void SimDeviceClient::FreeAll() {
  for (const Offset offset : oracle_->SlotsWritten()) {
    Free({offset});
  }
}

void SimDeviceClient::Load(const std::vector<Offset>& offsets) {
  const SpaceOracle::Load load = oracle_->BeginLoad(client_->token());
  LoadPages(offsets, {.page =
                          [this, load](Offset offset, const PageBytes& bytes) {
                            oracle_->CheckPage(load, offset, bytes);
                          },
                      .none = nullptr,
                      .lost = [this, load](Offset offset) { oracle_->CheckLost(load, offset); },
                      .over = [this, load] { oracle_->EndLoad(load); }});
}

void SimDeviceClient::Store(const std::vector<Offset>& offsets) {
  const OpPtr op = MakeOp("store", offsets, offsets.front());
  std::vector<History::Content> contents;
  const StoreCall call = MakeStore(
      *op, [this] { return oracle_->NewContent(); }, &contents);
  const auto change = oracle_->BeginChange(client_->token(), offsets, contents);
  op->send = [this, change, call](const OpPtr& sent, SimFrontEnd& to) {
    SendStore(sent, to, change, call);
  };
  Change(op, change);
}

void SimDeviceClient::Free(const std::vector<Offset>& offsets) {
  const OpPtr op = MakeOp("free", offsets, offsets.front());
  const auto change = oracle_->BeginChange(client_->token(), offsets,
                                           std::vector<History::Content>(offsets.size(), 0));
  op->send = [this, change](const OpPtr& sent, SimFrontEnd& to) { SendFree(sent, to, change); };
  Change(op, change);
}

void SimDeviceClient::Change(const OpPtr& op, const SpaceOracle::ChangePtr& change) {
  MarkChanging(op);
  op->given_up = [change] { SpaceOracle::GiveUp(*change); };
  if (options_.bug == PlantedBug::kDuplicateAppliedTwice) {
    spare_ = SpareSequence(op->offsets.front());
  }
  Begin(op);
}

void SimDeviceClient::SendStore(const OpPtr& op, SimFrontEnd& to,
                                const SpaceOracle::ChangePtr& change, StoreCall call) {
  call.header = op->header;
  std::function<void(Callback<MutationResult>)> again;
  if (options_.bug == PlantedBug::kDuplicateAppliedTwice) {
    again = [this, &to, call](Callback<MutationResult> answer) {
      to.front_end().Store(WithSequence(call, spare_), AnswerWith(std::move(answer)));
    };
  }
  Ask<MutationResult>(
      op, to,
      [&to, call](Callback<MutationResult> answer) {
        to.front_end().Store(call, AnswerWith(std::move(answer)));
      },
      [this, op, change, whole = call.whole](const MutationResult& result) {
        OnStored(*op, *change, whole, result);
      },
      again);
}

void SimDeviceClient::SendFree(const OpPtr& op, SimFrontEnd& to,
                               const SpaceOracle::ChangePtr& change) {
  const FreeCall call{op->header, ExtentsOf(op->offsets)};
  Ask<MutationResult>(
      op, to,
      [&to, call](Callback<MutationResult> answer) {
        to.front_end().Free(call, AnswerWith(std::move(answer)));
      },
      [this, op, change](const MutationResult& result) { OnFreed(*op, *change, result); });
}

void SimDeviceClient::CheckAnswer(const SpaceOracle::Change& change, const MutationResult& result) {
  // What the planted bug puts into the window is not to be what gives it away.
  const bool of_bug = options_.bug == PlantedBug::kDuplicateAppliedTwice &&
                      ReasonOf(result.status) == ErrorReason::kSuperseded;
  if (!result.status.ok() && !of_bug) {
    // Nobody has done anything that would make this request wrong or superseded.
    Wrong("a change was refused: " + std::string(MessageOf(result.status)));
  } else if (result.freed_pages > 0 || std::ranges::count(result.codes, PageCode::kOk) > 0) {
    oracle_->CheckDone(change);
  }
}

void SimDeviceClient::OnStored(const Op& op, SpaceOracle::Change& change, bool whole,
                               const MutationResult& result) {
  CheckAnswer(change, result);
  // Whether an earlier owner did what this one refuses, nobody knows.
  const History::Outcome not_done =
      op.other_epochs || !result.status.ok() ? History::Outcome::kMaybe : History::Outcome::kNot;
  for (size_t i = 0; i < op.offsets.size(); ++i) {
    const PageCode code = result.status.ok() ? result.codes.at(i) : PageCode::kUnset;
    const bool expected = code == PageCode::kOk || code == PageCode::kUnset ||
                          (code == PageCode::kUnavailable && !answers_expected_) ||
                          (code == PageCode::kResourceExhausted && options_.full_expected);
    if (!expected) {
      Wrong("a page was refused with " + std::string(Name(code)));
    }
    if (whole && result.status.ok() && code != result.codes.front()) {
      Wrong("a part of a folio was stored");
    }
    oracle_->EndPage(change, i, code == PageCode::kOk ? History::Outcome::kApplied : not_done);
  }
}

void SimDeviceClient::OnFreed(const Op& op, SpaceOracle::Change& change,
                              const MutationResult& result) {
  CheckAnswer(change, result);
  for (size_t i = 0; i < op.offsets.size(); ++i) {
    oracle_->EndPage(change, i,
                     result.status.ok() ? History::Outcome::kApplied : History::Outcome::kMaybe);
  }
}

}  // namespace vswap
