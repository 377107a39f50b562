#include "tests/sim/sim_client.h"

#include <algorithm>
#include <utility>

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
                      .create_pages = options_.space_pages,
                      .kind = options_.kind};
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
  world_.network.Note("attached", process_.name() + " token " + std::to_string(opened.token));
  OnAttached();
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
    if (op->given_up) {
      op->given_up();
    }
    End(op);
  }
}

// --- Requests.

bool SimClient::Issue() {
  return attached() && !fenced_ && ops_.size() < options_.under_way_max && IssueOne();
}

SimClient::OpPtr SimClient::MakeOp(const char* name, std::vector<Offset> offsets, Offset of_shard) {
  const auto op = std::make_shared<Op>();
  op->name = name;
  op->offsets = std::move(offsets);
  op->header = client_->Next(of_shard);
  op->first_epoch = op->header.epoch;
  return op;
}

void SimClient::Begin(const OpPtr& op) {
  const bool impatient =
      op->may_give_up && !answers_expected_ && random_.Below(1000) < options_.impatient_permille;
  op->give_up_at = world_.world.Now() + (impatient ? kShortPatience : kPatience);
  world_.network.Detail([&] { return "begins " + Describe(*op); });
  ops_[op->header.sequence] = op;
  Send(op);
}

void SimClient::Send(const OpPtr& op) {
  client_->RefreshOn(op->header, op->header.shard);
  op->other_epochs = op->other_epochs || op->header.epoch != op->first_epoch;
  ++op->tries;
  op->send(op, OwnerOf(op->header.shard));
}

void SimClient::AskLoad(const OpPtr& op, SimFrontEnd& to,
                        std::function<void(const LoadReply&)> heard) {
  const LoadCall call{.header = op->header, .extents = ExtentsOf(op->offsets)};
  Ask<LoadReply>(
      op, to,
      [&to, call](Callback<LoadReply> answer) {
        to.front_end().Load(
            call, [answer = std::move(answer)](LoadReply reply) { answer(std::move(reply)); });
      },
      std::move(heard));
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
    if (op->given_up) {
      op->given_up();
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
  std::string text = std::string(op.name) + " " + std::to_string(op.header.sequence) + ":";
  for (const Offset offset : op.offsets) {
    text += " " + std::to_string(offset);
  }
  return text;
}

void SimClient::End(const OpPtr& op) {
  world_.network.Detail([&] { return "ends " + Describe(*op); });
  ops_.erase(op->header.sequence);
  client_->Answered(op->header);
  if (op->over) {
    op->over();
  }
}

void SimClient::Wrong(const std::string& what) { world_.wrong(process_.name() + ": " + what); }

// --- What kinds of requests have in common.

void SimClient::LoadPages(const std::vector<Offset>& offsets, const LoadCheck& check) {
  const OpPtr op = MakeOp("load", offsets, offsets.front());
  op->send = [this, check](const OpPtr& sent, SimFrontEnd& to) {
    AskLoad(sent, to, [this, check, offsets = sent->offsets](const LoadReply& reply) {
      CheckPages(check, offsets, reply);
    });
  };
  op->over = check.over;
  Begin(op);
}

void SimClient::CheckPages(const LoadCheck& check, const std::vector<Offset>& offsets,
                           const LoadReply& reply) {
  if (!reply.status.ok()) {
    Wrong("a load was refused: " + std::string(MessageOf(reply.status)));
  }
  for (size_t i = 0; i < reply.pages.size(); ++i) {
    const PageOut& page = reply.pages[i];
    if (page.code == PageCode::kOk) {
      const auto plain = client_->Plain(offsets[i], page);
      plain ? check.page(offsets[i], *plain) : Wrong("a page does not match its checksum");
    } else if (page.code == PageCode::kNotFound && check.none != nullptr) {
      check.none(offsets[i]);
    } else if (page.code == PageCode::kDataLoss) {
      check.lost(offsets[i]);
    } else if (page.code != PageCode::kUnavailable || answers_expected_) {
      Wrong("a load was answered with " + std::string(Name(page.code)));
    }
  }
}

StoreCall SimClient::MakeStore(const Op& op, const std::function<History::Content()>& next,
                               std::vector<History::Content>* contents) {
  std::vector<ContentAt> pages;
  for (const Offset offset : op.offsets) {
    const uint64_t dice = random_.Below(10);
    contents->push_back(dice == 0 ? 0 : next());
    pages.push_back(
        {offset, History::MakeContent(client_->space(), offset, contents->back(), dice < 8)});
  }
  StoreCall call = FrontEndClient::MakeStore(op.header, std::move(pages));
  call.extents = ExtentsOf(op.offsets);
  call.whole = random_.Below(4) == 0 && IsFolio(call.extents);
  return call;
}

void SimClient::MarkChanging(const OpPtr& op) {
  for (const Offset offset : op->offsets) {
    changing_[offset] = 1;
  }
  op->over = [this, offsets = op->offsets] {
    for (const Offset offset : offsets) {
      changing_.erase(offset);
    }
  };
}

Sequence SimClient::SpareSequence(Offset of_shard) {
  const RequestHeader spare = client_->Next(of_shard);
  client_->Answered(spare);
  return spare.sequence;
}

}  // namespace vswap
