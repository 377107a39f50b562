#include "services/frontend/front_end.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "services/cluster/registry.h"
#include "services/common/thread_pool.h"
#include "services/frontend/mover.h"
#include "services/frontend/reconcile.h"
#include "services/frontend/token_raising.h"
#include "services/frontend/validate.h"
#include "vswap/v1/cluster.pb.h"

namespace vswap {
namespace {

constexpr int kOpenTriesMax = 16;
// After a node's start, for shards that are taken then.
constexpr Duration kLookThrough = std::chrono::hours(1);
constexpr Duration kReconcilePause = std::chrono::seconds(1);
constexpr char kClusterKey[] = "cluster";
constexpr char kSpacesPrefix[] = "spaces/";
constexpr char kNextSpaceKey[] = "next/space";

// Decimal; nothing where it is not.
std::optional<SpaceId> ToSpaceId(const std::string& text) {
  SpaceId id = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, id);
  return error == std::errc() && rest == end && id != 0 ? std::optional(id) : std::nullopt;
}

SpaceInfo ToInfo(const v1::SpaceRecord& record) {
  // Records without a kind are of the time when there was only one.
  const SpaceKind kind =
      record.kind() == v1::SPACE_KIND_ALLOCATED ? SpaceKind::kAllocated : SpaceKind::kDevice;
  return {record.space(), record.name(), record.pages(), record.holder(), kind};
}

const Clock& ClockOf(const FrontEnd::Options& options) {
  static const SteadyClock kSteady;
  return options.clock == nullptr ? kSteady : *options.clock;
}

Status CheckAllocated(const SpaceInfo& space) {
  return space.kind == SpaceKind::kAllocated
             ? Status()
             : MakeError(
                   StatusCode::kFailedPrecondition,
                   "space " + space.name + " is a device space: its client names the offsets");
}

Status CheckName(std::string_view field, const std::string& name) {
  return name.empty() || name.size() > FrontEnd::Options::kNameBytesMax
             ? InvalidField(field, std::to_string(name.size()) + " bytes long", "1..255 bytes")
             : Status();
}

std::vector<BackingRun> RunsOf(const Shard& shard, SpaceId space, Extent extent, bool allocated) {
  std::vector<BackingRun> runs;
  const auto add = [&runs, allocated](Offset pages, const Entry& entry) {
    if (pages == 0) {
      return;
    }
    if (runs.empty() || !SameBacking(runs.back().first, entry)) {
      runs.push_back({0, entry, allocated && !entry.live()});
    }
    runs.back().pages += static_cast<uint32_t>(pages);
  };
  Offset next = extent.offset;
  shard.Inspect([&](const EntryTable& table) {
    table.ForEach(space, extent, [&](Offset offset, const Entry& entry) {
      add(offset - next, {});
      add(1, entry);
      next = offset + 1;
    });
  });
  add(extent.offset + extent.pages - next, {});
  return runs;
}

}  // namespace

FrontEnd::FrontEnd(Options options, Coordinator& coordinator, std::vector<TableLog*> logs,
                   Placement placement, Executor& executor)
    : FrontEnd(std::move(options), coordinator, std::make_unique<LocalLogNodes>(std::move(logs)),
               nullptr, std::move(placement), executor) {}

FrontEnd::FrontEnd(Options options, Coordinator& coordinator, LogNodes& logs, Placement placement,
                   Executor& executor)
    : FrontEnd(std::move(options), coordinator, nullptr, &logs, std::move(placement), executor) {}

FrontEnd::FrontEnd(Options options, Coordinator& coordinator, std::unique_ptr<LogNodes> own_logs,
                   LogNodes* logs, Placement placement, Executor& executor)
    : options_(std::move(options)),
      coordinator_(coordinator),
      own_logs_(std::move(own_logs)),
      logs_(own_logs_ == nullptr ? *logs : *own_logs_),
      placement_(std::move(placement)),
      executor_(executor),
      releaser_(placement_, executor),
      gate_(std::make_shared<OverlapGate>(executor)),
      validity_(ClockOf(options_)),
      context_{placement_, releaser_, repairs_,  *gate_,           executor,
               counters_,  shards_,   validity_, ClockOf(options_)} {}

FrontEnd::~FrontEnd() {
  for (const auto& shard : shards_.All()) {
    shard->Discard();
  }
}

void FrontEnd::Join(std::optional<Membership> membership, std::function<void(Status)> done) {
  coordinator_.Get(kClusterKey, [this, membership, done](StatusOr<std::optional<KeyValue>> found) {
    if (!found.ok()) {
      return done(found.status());
    }
    v1::ClusterRecord record;
    if (found->has_value()) {
      if (!record.ParseFromString((*found)->value) || record.shard_count() == 0 ||
          record.shard_count() > kShardCountMax) {
        return done(DamagedRecord(kClusterKey));
      }
      return StartWith(record, membership, done);
    }
    record.set_shard_count(options_.shard_count);
    coordinator_.Commit({{{kClusterKey, 0}}, {{kClusterKey, record.SerializeAsString()}}, {}},
                        [this, membership, done](StatusOr<TransactionReply> reply) {
                          if (!reply.ok()) {
                            return done(reply.status());
                          }
                          // Made by us or by another front-end: either way it is there now.
                          Join(membership, done);
                        });
  });
}

void FrontEnd::StartWith(const v1::ClusterRecord& cluster, std::optional<Membership> membership,
                         std::function<void(Status)> done) {
  shards_.SetCount(cluster.shard_count());
  const uint32_t log_replicas = std::max(1u, cluster.log_replicas());
  LearnAll([this, membership, log_replicas, done](const Status& learned) {
    if (!learned.ok()) {
      return done(learned);
    }
    ownership_ = std::make_shared<Ownership>(
        Ownership::Options{
            .id = options_.id,
            .membership = membership,
            .prepare = [this](
                           const std::shared_ptr<Shard>& shard,
                           std::function<void(Status)> then) { Prepare(*shard, std::move(then)); },
            .on_taken = [this](const auto& shard) { OnTaken(shard); }},
        TakingContext{.coordinator = coordinator_,
                      .logs = logs_,
                      .executor = executor_,
                      .log_replicas = log_replicas,
                      .on_fenced = nullptr,
                      .tokens = [this](auto found) { FindTokens(std::move(found)); }},
        shards_, validity_, counters_);
    if (membership) {
      RedundancyKeeper::Options redundancy = options_.redundancy;
      redundancy.front_ends = [this] { return 1 + ownership_->Others().size(); };
      redundancy_ =
          std::make_shared<RedundancyKeeper>(std::move(redundancy), context_, coordinator_);
    }
    // Among others, a shard that cannot be had does not hold up the rest.
    serving_ = membership.has_value();
    ownership_->Start([this, done](const Status& status) { OnStarted(status, done); });
  });
}

// A space that was opened before the log was sealed may be new to this front-end: nobody had to
// tell it then. Later it is told.
void FrontEnd::Prepare(const Shard& shard, std::function<void(Status)> done) {
  const std::vector<SpaceId> spaces = shard.Spaces();
  bool all_known = true;
  {
    MutexLock lock(mutex_);
    all_known = std::ranges::all_of(spaces, [this](SpaceId space) {
      mutex_.AssertHeld();
      return spaces_.contains(space);
    });
  }
  all_known ? done(Status()) : LearnAll(std::move(done));
}

void FrontEnd::LearnAll(std::function<void(Status)> done) {
  coordinator_.List(kSpacesPrefix,
                    [this, done = std::move(done)](const StatusOr<std::vector<KeyValue>>& found) {
                      if (!found.ok()) {
                        return done(found.status());
                      }
                      for (const KeyValue& entry : *found) {
                        v1::SpaceRecord record;
                        if (!record.ParseFromString(entry.value)) {
                          return done(DamagedRecord(entry.key));
                        }
                        Learn(record);
                      }
                      done(Status());
                    });
}

void FrontEnd::FindTokens(Callback<std::vector<TokenRecord>> done) {
  LearnAll([this, done = std::move(done)](const Status& learned) {
    if (!learned.ok()) {
      return done(learned);
    }
    std::vector<TokenRecord> tokens;
    {
      MutexLock lock(mutex_);
      for (const auto& [id, space] : spaces_) {
        tokens.push_back({id, space.token});
      }
    }
    done(std::move(tokens));
  });
}

void FrontEnd::OnStarted(const Status& status, const std::function<void(Status)>& done) {
  if (!status.ok()) {
    return done(status);
  }
  serving_ = true;
  done(Status());
  ReconcileTaken();
  if (options_.writeback) {
    writeback_ = std::make_shared<Writeback>(*options_.writeback, context_);
    writeback_->Start();
  }
  if (redundancy_ != nullptr) {
    redundancy_->Start();
  }
  if (options_.compare_every != Duration()) {
    CompareNext(0);
  }
}

void FrontEnd::OnTaken(const std::shared_ptr<Shard>& shard) {
  bool begin = false;
  {
    MutexLock lock(mutex_);
    taken_.push_back(shard);
    for (const auto& [node, start] : starts_) {
      // Later than that it has its turn.
      if (context_.clock.Now() - start < kLookThrough) {
        Later(node, Comparison::Kind::kRead).shards.push_back(shard);
      }
    }
    reconciled_ = false;
    begin = serving_ && !reconciling_ && taken_.size() == 1;
  }
  if (begin) {
    // Together with those that are taken at the same time.
    executor_.PostAfter(kReconcilePause, [this] { ReconcileTaken(); });
  }
}

// One comparison at a time; what is taken meanwhile comes next.
void FrontEnd::ReconcileTaken() {
  Comparison next;
  {
    MutexLock lock(mutex_);
    if (reconciling_) {
      return;
    }
    next.shards.swap(taken_);
    if (!next.shards.empty()) {
      reconciling_ = next.kind;
    }
    reconciled_ = !reconciling_;
    PostReconcileLater();
  }
  if (!next.shards.empty()) {
    for (const Placement::Member* member : placement_.Members()) {
      next.nodes.push_back(member->id);
    }
    Compare(std::move(next));
  }
}

// A node that was away is compared once it answers.
void FrontEnd::ReconcileLater() {
  Comparison next;
  {
    MutexLock lock(mutex_);
    waiting_ = false;
    if (reconciling_) {
      return;
    }
    for (Comparison& comparison : later_) {
      std::erase_if(comparison.shards, [](const auto& shard) { return shard->failed(); });
    }
    std::erase_if(later_, [](const Comparison& comparison) { return comparison.shards.empty(); });
    auto it = later_.end();
    for (const auto turn :
         {Comparison::Kind::kListed, Comparison::Kind::kRead, Comparison::Kind::kTurn}) {
      if (it == later_.end()) {
        it = std::ranges::find_if(
            later_, [&](const Comparison& c) { return c.turn() == turn && MayBegin(c); });
      }
    }
    if (it != later_.end()) {
      next = std::move(*it);
      later_.erase(it);
      reconciling_ = next.kind;
    }
  }
  next.shards.empty() ? ReconcileTaken() : Compare(std::move(next));
}

void FrontEnd::PostReconcileLater() {
  if (!reconciling_ && !later_.empty() && !std::exchange(waiting_, true)) {
    executor_.PostAfter(kReconcilePause, [this] { ReconcileLater(); });
  }
}

bool FrontEnd::Answers(const Comparison& comparison) const {
  return std::ranges::any_of(comparison.nodes,
                             [this](NodeId node) { return placement_.Find(node)->answers.load(); });
}

// What is found missing has to have room among the repairs.
bool FrontEnd::MayBegin(const Comparison& comparison) const {
  return !repairs_.full() && Answers(comparison);
}

bool FrontEnd::HasBefore(Comparison::Kind turn) const {
  MutexLock lock(mutex_);
  return !taken_.empty() || std::ranges::any_of(later_, [&](const Comparison& other) {
    return other.turn() < turn && MayBegin(other);
  });
}

void FrontEnd::Compare(Comparison comparison) {
  ReconcileOptions options;
  const Comparison::Kind turn = comparison.turn();
  if (turn != Comparison::Kind::kListed) {  // the others are fast
    options = {.verify = comparison.kind != Comparison::Kind::kListed,
               .records_per_second = options_.redundancy.pages_per_second,
               .gives_way = [this, turn] { return HasBefore(turn); }};
  }
  Reconcile(context_, comparison.shards, comparison.nodes, std::move(options),
            [this, comparison, turn](const std::vector<NodeId>& skipped) {
              // Who has found as much as can be repaired, or has given way, has not failed.
              const bool stopped = repairs_.full() || HasBefore(turn);
              {
                MutexLock lock(mutex_);
                reconciling_.reset();
                const int failures = comparison.failures + (stopped ? 0 : 1);
                for (const NodeId node : skipped) {  // each waits until it answers
                  Comparison& later = Later(node, comparison.kind);
                  if (later.shards.empty()) {
                    later.failures = failures;
                  }
                  std::ranges::copy_if(
                      comparison.shards, std::back_inserter(later.shards), [&](const auto& shard) {
                        return std::ranges::find(later.shards, shard) == later.shards.end();
                      });
                }
              }
              ReconcileTaken();
            });
}

void FrontEnd::NoteStart(NodeId node, Duration ago) {
  MutexLock lock(mutex_);
  starts_[node] = context_.clock.Now() - ago;
}

void FrontEnd::CompareWith(NodeId node) {
  {
    MutexLock lock(mutex_);
    if (const Placement::Member* const member = placement_.Find(node)) {
      member->started = counters_.node_starts + 1;  // first: see RepairIfStarted
    }
    ++counters_.node_starts;
  }
  NoteStart(node, Duration());
  CompareLater(node, Comparison::Kind::kListed);
  CompareLater(node, Comparison::Kind::kRead);
}

FrontEnd::Comparison& FrontEnd::Later(NodeId node, Comparison::Kind kind) {
  const auto waits = std::ranges::find_if(later_, [&](const Comparison& comparison) {
    return comparison.kind == kind && comparison.nodes == std::vector<NodeId>{node};
  });
  return waits != later_.end() ? *waits : later_.emplace_back(Comparison{{}, {node}, kind});
}

void FrontEnd::CompareLater(NodeId node, Comparison::Kind kind) {
  MutexLock lock(mutex_);
  Comparison& later = Later(node, kind);
  later.shards = shards_.All();
  later.failures = 0;
  PostReconcileLater();
}

void FrontEnd::CompareNext(NodeId last) {
  const auto nodes = static_cast<int64_t>(std::max<size_t>(1, placement_.Members().size()));
  executor_.PostAfter(options_.compare_every / nodes, [this, last] {
    if (!serving_) {
      return;
    }
    const std::vector<const Placement::Member*> members = placement_.Members();
    auto next = std::ranges::find_if(
        members, [last](const Placement::Member* member) { return member->id > last; });
    if (next == members.end()) {
      next = members.begin();
    }
    const NodeId node = next == members.end() ? 0 : (*next)->id;
    if (node != 0) {
      CompareLater(node, Comparison::Kind::kTurn);
    }
    CompareNext(node);
  });
}

bool FrontEnd::reconciled() const {
  MutexLock lock(mutex_);
  return reconciled_ && reconciling_ != Comparison::Kind::kListed &&
         std::ranges::none_of(later_, [this](const Comparison& comparison) {
           return comparison.kind == Comparison::Kind::kListed && Answers(comparison);
         });
}

size_t FrontEnd::comparisons_due() const {
  MutexLock lock(mutex_);
  const auto waiting = std::ranges::count_if(later_, [this](const Comparison& comparison) {
    return Comparison::IsDue(comparison.kind) && Answers(comparison);
  });
  const bool under_way = reconciling_ && Comparison::IsDue(*reconciling_);
  return static_cast<size_t>(waiting) + (under_way || !reconciled_ ? 1 : 0);
}

void FrontEnd::Stop() {
  serving_ = false;
  if (writeback_ != nullptr) {
    writeback_->Stop();
  }
  if (redundancy_ != nullptr) {
    redundancy_->Stop();
  }
  for (const auto& shard : shards_.All()) {
    shard->Stop();
  }
}

void FrontEnd::Leave(std::function<void(Status)> done) { ownership_->Stop(std::move(done)); }

bool FrontEnd::Idle() const {
  const auto shards = shards_.All();
  return std::ranges::all_of(shards, [](const auto& shard) { return shard->Idle(); }) &&
         releaser_.Idle() && (ownership_ == nullptr || ownership_->shards_without_log() == 0);
}

void FrontEnd::Learn(const v1::SpaceRecord& record) {
  MutexLock lock(mutex_);
  Space& space = spaces_[record.space()];
  if (record.token() >= space.token) {
    space = {ToInfo(record), record.token()};
  }
}

struct FrontEnd::Opening {
  OpenCall call;
  Callback<OpenReply> done;
  int tries = 0;
  v1::SpaceRecord record;
};

void FrontEnd::Open(OpenCall call, Callback<OpenReply> done) {
  Status bad = CheckName("name", call.name);
  if (bad.ok()) {
    bad = CheckName("holder", call.holder);
  }
  if (bad.ok() && call.create_pages > kSpacePagesMax) {
    bad = InvalidField("create_pages", std::to_string(call.create_pages), "0..2^41");
  }
  if (bad.ok() && call.kind > SpaceKind::kAllocated) {
    bad = InvalidField("kind", std::to_string(static_cast<int>(call.kind)),
                       "0 (any), 1 (DEVICE), 2 (ALLOCATED)");
  }
  if (bad.ok() && !serving_) {
    bad = MakeError(ErrorReason::kNotServing, "the front-end is starting or stopping");
  }
  if (!bad.ok()) {
    return done(std::move(bad));
  }
  TryOpen(std::make_shared<Opening>(Opening{std::move(call), std::move(done), 0, {}}));
}

void FrontEnd::TryOpen(std::shared_ptr<Opening> opening) {
  if (++opening->tries > kOpenTriesMax) {
    return opening->done(MakeError(StatusCode::kAborted, "others open this space all the time"));
  }
  const std::string key = kSpacesPrefix + opening->call.name;
  coordinator_.Get(key, [this, opening, key](StatusOr<std::optional<KeyValue>> found) {
    if (!found.ok()) {
      return opening->done(found.status());
    }
    const OpenCall& call = opening->call;
    v1::SpaceRecord& record = opening->record;
    record.Clear();
    if (found->has_value()) {
      if (!record.ParseFromString((*found)->value)) {
        return opening->done(DamagedRecord(key));
      }
      if (!record.holder().empty() && record.holder() != call.holder && !call.take_over) {
        return opening->done(
            MakeError(ErrorReason::kAttached, "space " + call.name + " is attached by holder " +
                                                  record.holder() + "; ask to take it over"));
      }
      if (call.kind != SpaceKind::kUnset && call.kind != ToInfo(record).kind) {
        return opening->done(MakeError(StatusCode::kFailedPrecondition,
                                       "kind: space " + call.name + " is of the other kind"));
      }
    } else if (call.create_pages == 0) {
      return opening->done(
          MakeError(ErrorReason::kUnknownSpace,
                    "name: there is no space " + call.name + ", and create_pages is 0"));
    }
    if (call.attempt != 0 && record.attempt() == call.attempt) {
      return Raise(opening);  // what was asked before, of whichever front-end
    }
    record.set_attempt(call.attempt);
    record.set_name(call.name);
    record.set_holder(call.holder);
    record.set_token(record.token() + 1);
    if (found->has_value()) {
      return CommitOpen(opening, (*found)->revision, key, 0);
    }
    FindNextSpace([this, opening, key](const StatusOr<NextSpace>& next) {
      if (!next.ok()) {
        return opening->done(next.status());
      }
      opening->record.set_space(next->id);
      opening->record.set_pages(opening->call.create_pages);
      opening->record.set_kind(static_cast<v1::SpaceKind>(
          opening->call.kind == SpaceKind::kUnset ? SpaceKind::kDevice : opening->call.kind));
      CommitOpen(opening, 0, key, next->revision);
    });
  });
}

void FrontEnd::FindNextSpace(Callback<NextSpace> done) {
  coordinator_.Get(
      kNextSpaceKey, [done = std::move(done)](const StatusOr<std::optional<KeyValue>>& next) {
        if (!next.ok()) {
          return done(next.status());
        }
        if (!next->has_value()) {
          return done(NextSpace{1, 0});
        }
        const std::optional<SpaceId> id = ToSpaceId((*next)->value);
        id ? done(NextSpace{*id, (*next)->revision}) : done(DamagedRecord(kNextSpaceKey));
      });
}

void FrontEnd::GiveUpPages(ShardId shard, bool silent_too, std::function<void(Status)> done) {
  if (!serving_) {
    return done(MakeError(ErrorReason::kNotServing, "the front-end is starting or stopping"));
  }
  const auto find_end = [this](const Callback<SpaceId>& found) {
    FindNextSpace([found](const StatusOr<NextSpace>& next) {
      found(next.ok() ? StatusOr<SpaceId>(next->id) : next.status());
    });
  };
  ownership_->GiveUpPages(shard, silent_too, find_end, std::move(done));
}

void FrontEnd::CommitOpen(std::shared_ptr<Opening> opening, uint64_t space_revision,
                          std::string space, uint64_t next_revision) {
  Transaction open;
  open.compares.push_back({space, space_revision});
  open.puts.push_back({space, opening->record.SerializeAsString()});
  if (space_revision == 0) {
    open.compares.push_back({kNextSpaceKey, next_revision});
    open.puts.push_back({kNextSpaceKey, std::to_string(opening->record.space() + 1)});
  }
  coordinator_.Commit(std::move(open), [this, opening](StatusOr<TransactionReply> reply) {
    if (!reply.ok()) {
      return opening->done(reply.status());
    }
    if (!reply->succeeded) {
      return TryOpen(opening);
    }
    Raise(opening);
  });
}

void FrontEnd::Raise(const std::shared_ptr<Opening>& opening) {
  Learn(opening->record);
  RaiseTokenEverywhere(shards_, *ownership_, options_.peers, executor_, opening->record,
                       [this, opening](const StatusOr<std::vector<Epoch>>& raised) {
                         if (!raised.ok()) {
                           return opening->done(raised.status());
                         }
                         StatusOr<ShardMap> map = GetShardMap();
                         if (!map.ok()) {
                           return opening->done(map.status());
                         }
                         for (size_t i = 0; i < raised->size(); ++i) {
                           if ((*raised)[i] > map->epochs[i]) {
                             // By an owner that is not known here yet.
                             map->epochs[i] = (*raised)[i];
                             if (!map->owners.empty()) {
                               map->owners[i] = 0;
                             }
                           }
                         }
                         opening->done(OpenReply{opening->record.space(), opening->record.token(),
                                                 opening->record.pages(), *std::move(map),
                                                 ToInfo(opening->record).kind});
                       });
}

void FrontEnd::RaiseToken(const v1::SpaceRecord& space, Callback<std::vector<ShardEpoch>> done) {
  if (!serving_) {
    return done(MakeError(ErrorReason::kNotServing, "the front-end is starting or stopping"));
  }
  Learn(space);
  RaiseOwnTokens(shards_, space.space(), space.token(), std::move(done));
}

void FrontEnd::Close(SpaceId space, Token token, std::function<void(Status)> done) {
  const StatusOr<SpaceInfo> info = FindSpace(space);
  if (!info.ok()) {
    return done(info.status());
  }
  const std::string key = kSpacesPrefix + info->name;
  coordinator_.Get(key, [this, key, token, done](StatusOr<std::optional<KeyValue>> found) {
    v1::SpaceRecord record;
    if (!found.ok()) {
      return done(found.status());
    }
    if (!found->has_value() || !record.ParseFromString((*found)->value)) {
      return done(DamagedRecord(key));
    }
    if (record.token() != token) {
      return done(MakeError(ErrorReason::kFenced, "the space was opened again or closed"));
    }
    record.clear_holder();
    record.clear_attempt();
    record.set_token(token + 1);
    coordinator_.Commit(
        {{{key, (*found)->revision}}, {{key, record.SerializeAsString()}}, {}},
        [this, record, done](StatusOr<TransactionReply> reply) {
          if (!reply.ok() || !reply->succeeded) {
            return done(reply.ok() ? MakeError(ErrorReason::kFenced, "the space was opened again")
                                   : reply.status());
          }
          Learn(record);
          RaiseTokenEverywhere(
              shards_, *ownership_, options_.peers, executor_, record,
              [done](const StatusOr<std::vector<Epoch>>& raised) { done(raised.status()); });
        });
  });
}

void FrontEnd::ListSpaces(Callback<std::vector<SpaceInfo>> done) {
  coordinator_.List(kSpacesPrefix, [done](StatusOr<std::vector<KeyValue>> found) {
    if (!found.ok()) {
      return done(found.status());
    }
    std::vector<SpaceInfo> spaces;
    for (const KeyValue& entry : *found) {
      v1::SpaceRecord record;
      if (!record.ParseFromString(entry.value)) {
        return done(DamagedRecord(entry.key));
      }
      spaces.push_back(ToInfo(record));
    }
    done(std::move(spaces));
  });
}

StatusOr<ShardMap> FrontEnd::GetShardMap() const {
  if (!serving_) {
    return MakeError(ErrorReason::kNotServing, "the front-end is starting or stopping");
  }
  return ownership_->Map();
}

StatusOr<SpaceInfo> FrontEnd::FindSpace(SpaceId space) const {
  if (!serving_) {
    return MakeError(ErrorReason::kNotServing, "the front-end is starting or stopping");
  }
  MutexLock lock(mutex_);
  const auto it = spaces_.find(space);
  if (it == spaces_.end()) {
    return MakeError(ErrorReason::kUnknownSpace,
                     "space " + std::to_string(space) + " is unknown: open it by name first");
  }
  return it->second.info;
}

StatusOr<std::shared_ptr<Shard>> FrontEnd::FindShard(ShardId id) const {
  auto shard = shards_.Find(id);
  if (shard == nullptr) {
    return MakeError(ErrorReason::kNotOwner,
                     "shard " + std::to_string(id) + " is not served by this front-end");
  }
  return shard;
}

StatusOr<SpaceInfo> FrontEnd::CheckExtents(const RequestHeader& header,
                                           const std::vector<Extent>& extents,
                                           uint32_t pages_max) const {
  StatusOr<SpaceInfo> space = FindSpace(header.space);
  if (!space.ok()) {
    return space;
  }
  const uint32_t shard_count = shards_.count();
  VSWAP_RETURN_IF_ERROR(ValidateHeader(header, shard_count));
  VSWAP_RETURN_IF_ERROR(ValidateExtents(header, extents, {space->pages, shard_count, pages_max}));
  return space;
}

void FrontEnd::Store(StoreCall call, MutationDone done) {
  const StatusOr<SpaceInfo> space = CheckExtents(call.header, call.extents, kBatchPagesMax);
  Status status = space.status();
  if (status.ok()) {
    status = ValidatePages(call);
  }
  if (!status.ok()) {
    return done({std::move(status), {}, 0, {}});
  }
  call.kind = space->kind;
  StatusOr<std::shared_ptr<Shard>> shard = FindShard(call.header.shard);
  if (!shard.ok()) {
    return done({shard.status(), {}, 0, {}});
  }
  StorePages(context_, *std::move(shard), std::move(call), std::move(done));
}

void FrontEnd::Load(LoadCall call, LoadDone done) {
  const StatusOr<SpaceInfo> space = CheckExtents(call.header, call.extents, kBatchPagesMax);
  if (!space.ok()) {
    return done({space.status(), {}, {}});
  }
  call.kind = space->kind;
  StatusOr<std::shared_ptr<Shard>> shard = FindShard(call.header.shard);
  if (!shard.ok()) {
    return done({shard.status(), {}, {}});
  }
  LoadPages(context_, *std::move(shard), std::move(call), std::move(done));
}

void FrontEnd::Free(FreeCall call, MutationDone done) {
  const StatusOr<SpaceInfo> space = CheckExtents(call.header, call.extents, kStripePages);
  Status status = space.status();
  if (status.ok() && space->kind == SpaceKind::kAllocated) {
    status = ValidateDistinct(call.extents);
  }
  if (!status.ok()) {
    return done({std::move(status), {}, 0, {}});
  }
  call.kind = space->kind;
  StatusOr<std::shared_ptr<Shard>> shard = FindShard(call.header.shard);
  if (!shard.ok()) {
    return done({shard.status(), {}, 0, {}});
  }
  FreePages(context_, *std::move(shard), std::move(call), std::move(done));
}

void FrontEnd::Allocate(AllocateCall call, MutationDone done) {
  const StatusOr<SpaceInfo> space = FindSpace(call.header.space);
  Status status = space.status();
  if (status.ok()) {
    status = ValidateHeader(call.header, shards_.count());
  }
  if (status.ok()) {
    status = ValidateAllocate(call.shape.order, call.shape.count);
  }
  if (status.ok()) {
    status = CheckAllocated(*space);
  }
  if (!status.ok()) {
    return done({std::move(status), {}, 0, {}});
  }
  call.shape.space_pages = space->pages;
  call.shape.shard_count = shards_.count();
  StatusOr<std::shared_ptr<Shard>> shard = FindShard(call.header.shard);
  if (!shard.ok()) {
    return done({shard.status(), {}, 0, {}});
  }
  AllocatePages(context_, *std::move(shard), std::move(call), std::move(done));
}

void FrontEnd::Duplicate(DuplicateCall call, MutationDone done) {
  const StatusOr<SpaceInfo> space = CheckExtents(call.header, call.extents, kBatchPagesMax);
  Status status = space.status();
  if (status.ok()) {
    status = ValidateDistinct(call.extents);
  }
  if (status.ok()) {
    status = CheckAllocated(*space);
  }
  if (!status.ok()) {
    return done({std::move(status), {}, 0, {}});
  }
  StatusOr<std::shared_ptr<Shard>> shard = FindShard(call.header.shard);
  if (!shard.ok()) {
    return done({shard.status(), {}, 0, {}});
  }
  DuplicatePages(context_, *std::move(shard), std::move(call), std::move(done));
}

void FrontEnd::Prefetch(LoadCall call, std::function<void(Status)> done) {
  const StatusOr<SpaceInfo> space = CheckExtents(call.header, call.extents, kBatchPagesMax);
  if (!space.ok()) {
    return done(space.status());
  }
  const StatusOr<std::shared_ptr<Shard>> shard = FindShard(call.header.shard);
  if (!shard.ok()) {
    return done(shard.status());
  }
  PrefetchPages(context_, *shard, call, done);
}

void FrontEnd::Extents(const RequestHeader& header, Extent extent,
                       const Callback<std::vector<BackingRun>>& done) const {
  const StatusOr<SpaceInfo> space = CheckExtents(header, {extent}, kStripePages);
  if (!space.ok()) {
    return done(space.status());
  }
  const StatusOr<std::shared_ptr<Shard>> found = FindShard(header.shard);
  if (!found.ok()) {
    return done(found.status());
  }
  const std::shared_ptr<Shard>& shard = *found;
  if (Status status = shard->CheckRead(header); !status.ok()) {
    return done(std::move(status));
  }
  std::vector<BackingRun> runs =
      RunsOf(*shard, header.space, extent, space->kind == SpaceKind::kAllocated);
  if (validity_.Holds()) {
    return done(std::move(runs));
  }
  // As for a load: see Validity.
  shard->Barrier([shard, header, runs = std::move(runs), done](const Status& proof) {
    Status status = proof.ok() ? shard->CheckRead(header) : proof;
    status.ok() ? done(runs) : done(std::move(status));
  });
}

void FrontEnd::MoveAll(Tier from, Tier to, std::function<void(uint64_t)> done) {
  MovePages(context_, shards_.All(),
            {.source = AllOf(from),
             .target = [this, to](SetId set) { return placement_.ChooseAsGood(set, to); }},
            [this, from, done = std::move(done)](const MoveResult&) {
              uint64_t left = 0;
              for (const auto& [space, counts] : Counts()) {
                left += from == Tier::kCompressed ? counts.compressed_pages : counts.physical_pages;
              }
              done(left);
            });
}

void FrontEnd::Check(Callback<CheckReport> done) {
  const bool compared = reconciled();
  if (!compared || checking_.exchange(true)) {
    return done(MakeError(StatusCode::kUnavailable,
                          compared ? "another check is under way"
                                   : "tables and nodes are still being compared after the start"));
  }
  CheckEverything(context_, shards_.All(), [this, done = std::move(done)](CheckReport report) {
    checking_ = false;
    done(std::move(report));
  });
}

std::map<SpaceId, SpaceCounts> FrontEnd::Counts() const {
  std::map<SpaceId, SpaceCounts> counts;
  for (const auto& shard : shards_.All()) {
    shard->Inspect([&](const EntryTable& table) {
      for (const auto& [space, of_shard] : table.counts()) {
        counts[space] += of_shard;
      }
    });
  }
  return counts;
}

uint64_t FrontEnd::degraded_pages() const {
  const std::vector<SetId> at_risk = placement_.SetsAtRisk();
  uint64_t total = repairs_.waiting();
  for (const auto& shard : shards_.All()) {
    total += shard->PagesOn(at_risk);
  }
  return total;
}

NodeUse FrontEnd::UseOf(NodeId node, const std::vector<SetId>& sets) const {
  const Placement::Member* const member = placement_.Find(node);
  NodeUse use;
  use.answers = member == nullptr || member->answers;
  for (const auto& shard : shards_.All()) {
    use.shards.push_back(shard->id());
    use.pages += shard->PagesOn(sets);
  }
  return use;
}

std::vector<v1::FrontEndRecord> FrontEnd::Others() const {
  return serving_ ? ownership_->Others() : std::vector<v1::FrontEndRecord>();
}

uint64_t FrontEnd::stores_overtaken() const {
  uint64_t total = 0;
  for (const auto& shard : shards_.All()) {
    total += shard->overtaken_total();
  }
  return total;
}

}  // namespace vswap
