#include "tests/sim/sim_client.h"

#include <algorithm>
#include <bit>
#include <set>

#include "tests/support/extents.h"

namespace vswap {
namespace {

constexpr Duration kBackoff = std::chrono::milliseconds(5);
constexpr uint64_t kBackoffTriesMax = 6;
constexpr Duration kPatience = std::chrono::seconds(60);
constexpr Duration kShortPatience = std::chrono::milliseconds(10);

// Whether the request may be sent again, as if it had never been.
bool MayPass(const Status& status) {
  return status.code() == StatusCode::kUnavailable ||
         ReasonOf(status) == ErrorReason::kUnknownSpace;
}

// Whether a store of these may ask for all or nothing.
bool IsFolio(const std::vector<Extent>& extents) {
  const Extent& first = extents.front();
  return extents.size() == 1 && std::has_single_bit(first.pages) && first.offset % first.pages == 0;
}

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

SimClient::SimClient(World world, Options options, uint64_t process_id, uint64_t seed)
    : world_(std::move(world)),
      options_(std::move(options)),
      process_(world_.world,
               options_.space + "/" + options_.holder + "#" + std::to_string(process_id),
               process_id, Mix64(seed + 1)),
      random_(seed) {}

SimFrontEnd& SimClient::Any() {
  const std::vector<SimFrontEnd*> front_ends = world_.front_ends();
  return *front_ends[random_.Below(front_ends.size())];
}

SimFrontEnd& SimClient::OwnerOf(ShardId shard) {
  SimFrontEnd* const owner = owners_[shard].empty() ? nullptr : world_.find(owners_[shard]);
  return owner == nullptr ? Any() : *owner;
}

// --- The attachment.

void SimClient::Open() {
  SimFrontEnd& to = Any();
  const OpenCall call{.name = options_.space,
                      .holder = options_.holder,
                      .take_over = true,
                      .create_pages = options_.space_pages};
  world_.network.Call<OpenReply>(
      "open", process_, to.process(),
      [&to, call](Callback<OpenReply> answer) { to.front_end().Open(call, std::move(answer)); },
      [this](const StatusOr<OpenReply>& opened) {
        if (opened.ok()) {
          return OnOpened(*opened);
        }
        process_.PostAfter(kBackoff, [this] { Open(); });
      });
}

void SimClient::OnOpened(const OpenReply& opened) {
  client_.emplace(opened);
  map_.epochs.assign(opened.shard_map.epochs.size(), 0);
  owners_.assign(map_.epochs.size(), "");
  Learn(opened.shard_map);
  oracle_ = &world_.oracle(opened.space);
  oracle_->Attached(opened.token);
  world_.network.Note("attached", process_.name() + " token " + std::to_string(opened.token));
}

void SimClient::AskForMap() {
  if (std::exchange(asking_, true)) {
    return;
  }
  SimFrontEnd& to = Any();
  world_.network.Call<ShardMap>(
      "shard map", process_, to.process(),
      [&to](const Callback<ShardMap>& answer) { answer(to.front_end().GetShardMap()); },
      [this](const StatusOr<ShardMap>& map) {
        asking_ = false;
        if (map.ok()) {
          Learn(*map);
        }
      });
}

void SimClient::Learn(const ShardMap& map) {
  for (size_t i = 0; i < map_.epochs.size(); ++i) {
    if (map.epochs[i] < map_.epochs[i]) {
      continue;
    }
    map_.epochs[i] = map.epochs[i];
    owners_[i] = map.owners[i] == 0 ? "" : map.front_ends[map.owners[i] - 1];
  }
  client_->SetEpochs(map_);
}

void SimClient::Close() {
  SimFrontEnd& to = Any();
  world_.network.Call<bool>(
      "close", process_, to.process(),
      [&to, space = client_->space(), token = client_->token()](Callback<bool> answer) {
        to.front_end().Close(space, token, [answer = std::move(answer)](const Status& status) {
          answer(status.ok() ? StatusOr<bool>(true) : status);
        });
      },
      [](const StatusOr<bool>&) {});
}

void SimClient::GiveUpAll() {
  while (!ops_.empty()) {
    const OpPtr op = ops_.begin()->second;
    if (op->change) {
      SpaceOracle::GiveUp(*op->change);
    }
    End(op);
  }
}

// --- Requests.

bool SimClient::Issue() {
  if (!attached() || fenced_ || ops_.size() >= options_.under_way_max) {
    return false;
  }
  const Kind change = random_.Below(6) == 0 ? Kind::kFree : Kind::kStore;
  const Kind kind = random_.Below(100) < options_.loads_percent ? Kind::kLoad : change;
  const std::vector<Offset> offsets = PickSlots(kind != Kind::kLoad);
  if (offsets.empty()) {
    return false;
  }
  Begin(kind, offsets);
  return true;
}

// Ascending, of one shard.
std::vector<Offset> SimClient::PickSlots(bool free_of_changes) {
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

void SimClient::StoreAll() {
  for (const Offset offset : oracle_->SlotsWritten()) {
    Begin(Kind::kStore, {offset});
  }
}

void SimClient::LoadAll() {
  for (const Offset offset : oracle_->SlotsWritten()) {
    Begin(Kind::kLoad, {offset});
  }
}

void SimClient::FreeAll() {
  for (const Offset offset : oracle_->SlotsWritten()) {
    Begin(Kind::kFree, {offset});
  }
}

void SimClient::Begin(Kind kind, const std::vector<Offset>& offsets) {
  const auto op = std::make_shared<Op>();
  op->kind = kind;
  op->offsets = offsets;
  op->header = client_->Next(offsets.front());
  op->first_epoch = op->header.epoch;
  const bool impatient = !answers_expected_ && random_.Below(1000) < options_.impatient_permille;
  op->give_up_at = world_.world.Now() + (impatient ? kShortPatience : kPatience);
  if (kind == Kind::kLoad) {
    op->load = oracle_->BeginLoad(client_->token());
  } else {
    std::vector<History::Content> contents;
    std::vector<ContentAt> pages;
    for (const Offset offset : offsets) {
      changing_[offset] = 1;
      const uint64_t dice = random_.Below(10);
      const bool zero = kind == Kind::kFree || dice == 0;
      contents.push_back(zero ? 0 : oracle_->NewContent());
      pages.push_back(
          {offset, History::MakeContent(client_->space(), offset, contents.back(), dice < 8)});
    }
    op->change = oracle_->BeginChange(client_->token(), offsets, contents);
    if (kind == Kind::kStore) {
      op->store = FrontEndClient::MakeStore(op->header, std::move(pages));
      op->store.extents = ExtentsOf(offsets);
      op->store.whole = random_.Below(4) == 0 && IsFolio(op->store.extents);
    }
  }
  world_.network.Detail([&] { return "begins " + Describe(*op); });
  ops_[op->header.sequence] = op;
  if (options_.bug == PlantedBug::kDuplicateAppliedTwice) {
    const RequestHeader spare = client_->Next(offsets.front());
    client_->Answered(spare);
    spare_ = spare.sequence;
  }
  Send(op);
}

void SimClient::Send(const OpPtr& op) {
  client_->RefreshOn(op->header, op->header.shard);
  op->other_epochs = op->other_epochs || op->header.epoch != op->first_epoch;
  ++op->tries;
  SimFrontEnd& to = OwnerOf(op->header.shard);
  op->kind == Kind::kLoad ? SendLoad(op, to) : SendMutation(op, to);
}

void SimClient::SendMutation(const OpPtr& op, SimFrontEnd& to) {
  const auto done = [this, op, &from = to.process(),
                     epoch = op->header.epoch](const StatusOr<MutationResult>& result) {
    const Status& status = result.ok() ? result->status : result.status();
    if (Take(op, epoch, from, status)) {
      OnChanged(op, result.ok() ? *result : MutationResult{status, {}, 0, {}});
    }
  };
  const auto answer_with = [](Callback<MutationResult> answer) -> MutationDone {
    return [answer = std::move(answer)](const MutationResult& result) { answer(result); };
  };
  if (op->kind == Kind::kFree) {
    const FreeCall call{op->header, ExtentsOf(op->offsets)};
    return world_.network.Call<MutationResult>(
        "free", process_, to.process(),
        [&to, call, answer_with](Callback<MutationResult> answer) {
          to.front_end().Free(call, answer_with(std::move(answer)));
        },
        done);
  }
  StoreCall call = op->store;
  call.header = op->header;
  std::function<void(Callback<MutationResult>)> again;
  if (options_.bug == PlantedBug::kDuplicateAppliedTwice) {
    again = [this, &to, answer_with, call](Callback<MutationResult> answer) {
      to.front_end().Store(WithSequence(call, spare_), answer_with(std::move(answer)));
    };
  }
  world_.network.Call<MutationResult>(
      "store", process_, to.process(),
      [&to, call, answer_with](Callback<MutationResult> answer) {
        to.front_end().Store(call, answer_with(std::move(answer)));
      },
      done, again);
}

void SimClient::SendLoad(const OpPtr& op, SimFrontEnd& to) {
  const LoadCall call{.header = op->header, .extents = ExtentsOf(op->offsets)};
  world_.network.Call<LoadReply>(
      "load", process_, to.process(),
      [&to, call](Callback<LoadReply> answer) {
        to.front_end().Load(
            call, [answer = std::move(answer)](LoadReply reply) { answer(std::move(reply)); });
      },
      [this, op, &from = to.process(), epoch = op->header.epoch](const StatusOr<LoadReply>& reply) {
        const Status& status = reply.ok() ? reply->status : reply.status();
        if (Take(op, epoch, from, status)) {
          OnLoaded(op,
                   reply.ok() ? *reply : LoadReply{.status = status, .pages = {}, .owners = {}});
        }
      });
}

bool SimClient::Take(const OpPtr& op, Epoch epoch, const SimProcess& from, const Status& status) {
  const auto it = ops_.find(op->header.sequence);
  if (it == ops_.end() || it->second != op) {
    return false;  // given up, or answered by an earlier sending
  }
  if (ReasonOf(status) == ErrorReason::kFenced) {
    world_.network.Note("fenced", process_.name());
    fenced_ = true;
    GiveUpAll();
    return false;
  }
  if (status.ok()) {
    world_.on_answer(op->header.shard, epoch, from);
    if (epoch < map_.epochs[op->header.shard]) {
      Again(op);
      return false;
    }
    return true;
  }
  if (!MayPass(status)) {
    return true;
  }
  world_.network.Detail([&] { return Describe(*op) + ": " + std::string(MessageOf(status)); });
  AskForMap();
  Again(op);
  return false;
}

void SimClient::Again(const OpPtr& op) {
  if (world_.world.Now() >= op->give_up_at) {
    if (op->change) {
      SpaceOracle::GiveUp(*op->change);
    }
    world_.network.Note("given up", process_.name());
    if (answers_expected_) {
      Wrong("a request was not answered within a minute although nothing failed");
    }
    return End(op);
  }
  const Duration backoff = kBackoff * (uint64_t{1} << std::min(op->tries, kBackoffTriesMax));
  process_.PostAfter(backoff, [this, op] {
    if (ops_.contains(op->header.sequence)) {
      Send(op);
    }
  });
}

std::string SimClient::Describe(const Op& op) {
  static constexpr const char* kNames[] = {"store", "load", "free"};
  std::string text = std::string(kNames[static_cast<size_t>(op.kind)]) + " " +
                     std::to_string(op.header.sequence) + ":";
  for (const Offset offset : op.offsets) {
    text += " " + std::to_string(offset);
  }
  return text;
}

void SimClient::End(const OpPtr& op) {
  world_.network.Detail([&] { return "ends " + Describe(*op); });
  ops_.erase(op->header.sequence);
  client_->Answered(op->header);
  if (op->kind == Kind::kLoad) {
    oracle_->EndLoad(op->load);
    return;
  }
  for (const Offset offset : op->offsets) {
    changing_.erase(offset);
  }
}

void SimClient::OnChanged(const OpPtr& op, const MutationResult& result) {
  ++answered_;
  // What the planted bug puts into the window is not to be what gives it away.
  const bool of_bug = options_.bug == PlantedBug::kDuplicateAppliedTwice &&
                      ReasonOf(result.status) == ErrorReason::kSuperseded;
  if (!result.status.ok() && !of_bug) {
    // Nobody has done anything that would make this request wrong or superseded.
    Wrong("a change was refused: " + std::string(MessageOf(result.status)));
  } else if (result.freed_pages > 0 || std::ranges::count(result.codes, PageCode::kOk) > 0) {
    oracle_->CheckDone(*op->change);
  }
  // Whether an earlier owner did what this one refuses, nobody knows.
  const History::Outcome not_done =
      op->other_epochs || !result.status.ok() ? History::Outcome::kMaybe : History::Outcome::kNot;
  for (size_t i = 0; i < op->offsets.size(); ++i) {
    const PageCode code = !result.status.ok()       ? PageCode::kUnset
                          : op->kind == Kind::kFree ? PageCode::kOk
                                                    : result.codes.at(i);
    const bool expected = code == PageCode::kOk || code == PageCode::kUnset ||
                          (code == PageCode::kUnavailable && !answers_expected_) ||
                          (code == PageCode::kResourceExhausted && options_.full_expected);
    if (!expected) {
      Wrong("a page was refused with " + std::string(Name(code)));
    }
    if (op->store.whole && result.status.ok() && code != result.codes.front()) {
      Wrong("a part of a folio was stored");
    }
    oracle_->EndPage(*op->change, i, code == PageCode::kOk ? History::Outcome::kApplied : not_done);
  }
  End(op);
}

void SimClient::OnLoaded(const OpPtr& op, const LoadReply& reply) {
  ++answered_;
  if (!reply.status.ok()) {
    Wrong("a load was refused: " + std::string(MessageOf(reply.status)));
  }
  for (size_t i = 0; i < reply.pages.size(); ++i) {
    const PageOut& page = reply.pages[i];
    if (page.code == PageCode::kOk) {
      const auto plain = client_->Plain(op->offsets[i], page);
      plain ? oracle_->CheckPage(op->load, op->offsets[i], *plain)
            : Wrong("a page does not match its checksum");
    } else if (page.code == PageCode::kDataLoss) {
      oracle_->CheckLost(op->load, op->offsets[i]);
    } else if (page.code != PageCode::kUnavailable || answers_expected_) {
      Wrong("a load was answered with " + std::string(Name(page.code)));
    }
  }
  End(op);
}

void SimClient::Wrong(const std::string& what) { world_.wrong(process_.name() + ": " + what); }

}  // namespace vswap
