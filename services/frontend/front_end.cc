#include "services/frontend/front_end.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "services/frontend/mover.h"
#include "services/frontend/reconcile.h"
#include "services/frontend/validate.h"
#include "vswap/v1/cluster.pb.h"

namespace vswap {
namespace {

constexpr uint32_t kReadSlots = 16384;
constexpr int kOpenTriesMax = 16;
// etcd takes 128 comparisons and changes in a transaction.
constexpr uint32_t kShardsTakenAtOnce = 32;
constexpr char kClusterKey[] = "cluster";
constexpr char kSpacesPrefix[] = "spaces/";
constexpr char kShardsPrefix[] = "shards/";
constexpr char kNextSpaceKey[] = "next/space";

std::string ShardKey(ShardId shard) {
  char key[32];
  std::snprintf(key, sizeof(key), "%s%05u", kShardsPrefix, shard);
  return key;
}

Status Damaged(const std::string& key) {
  return MakeError(StatusCode::kDataLoss, "coordinator: the record " + key + " cannot be read");
}

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

// Counts answers and passes the first failure on when all have come.
class Gather {
 public:
  Gather(size_t count, std::function<void(Status)> done)
      : missing_(count), done_(std::move(done)) {}

  void Answer(const Status& status) {
    Status result;
    {
      MutexLock lock(mutex_);
      if (result_.ok()) {
        result_ = status;
      }
      if (--missing_ != 0) {
        return;
      }
      result = result_;
    }
    done_(std::move(result));
  }

 private:
  Mutex mutex_;
  size_t missing_ GUARDED_BY(mutex_);
  Status result_ GUARDED_BY(mutex_);
  const std::function<void(Status)> done_;
};

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

}  // namespace

FrontEnd::FrontEnd(Options options, Coordinator& coordinator, std::vector<TableLog*> log_replicas,
                   Placement placement, Executor& executor)
    : FrontEnd(
          std::move(options), coordinator,
          [logs = std::move(log_replicas)](v1::ShardRecord&) { return logs; }, std::move(placement),
          executor) {}

FrontEnd::FrontEnd(Options options, Coordinator& coordinator, LogsOf logs_of, Placement placement,
                   Executor& executor)
    : options_(std::move(options)),
      coordinator_(coordinator),
      logs_of_(std::move(logs_of)),
      placement_(std::move(placement)),
      executor_(executor),
      releaser_(placement_, executor),
      gate_(std::make_shared<OverlapGate>(executor)),
      context_{placement_, releaser_, *gate_, executor, counters_, prove_loads_} {}

FrontEnd::~FrontEnd() {
  for (const auto& shard : shards_) {
    shard->Discard();
  }
}

void FrontEnd::Start(std::function<void(Status)> done) {
  coordinator_.Get(kClusterKey, [this, done](StatusOr<std::optional<KeyValue>> found) {
    if (!found.ok()) {
      return done(found.status());
    }
    v1::ClusterRecord record;
    if (found->has_value()) {
      if (!record.ParseFromString((*found)->value) || record.shard_count() == 0 ||
          record.shard_count() > kShardCountMax) {
        return done(Damaged(kClusterKey));
      }
      return TakeShards(record.shard_count(), done);
    }
    record.set_shard_count(options_.shard_count);
    coordinator_.Commit({{{kClusterKey, 0}}, {{kClusterKey, record.SerializeAsString()}}, {}},
                        [this, done](StatusOr<TransactionReply> reply) {
                          if (!reply.ok()) {
                            return done(reply.status());
                          }
                          // Made by us or by another front-end: either way it is there now.
                          Start(done);
                        });
  });
}

struct FrontEnd::Taking {
  uint32_t shard_count = 0;
  std::map<std::string, KeyValue> known;
  std::function<void(Status)> done;
};

void FrontEnd::TakeShards(uint32_t shard_count, std::function<void(Status)> done) {
  coordinator_.List(kShardsPrefix,
                    [this, shard_count, done](StatusOr<std::vector<KeyValue>> found) {
                      if (!found.ok()) {
                        return done(found.status());
                      }
                      const auto taking = std::make_shared<Taking>();
                      taking->shard_count = shard_count;
                      taking->done = done;
                      for (KeyValue& record : *found) {
                        taking->known[record.key] = std::move(record);
                      }
                      TakeSome(taking, 0);
                    });
}

void FrontEnd::TakeSome(const std::shared_ptr<Taking>& taking, ShardId begin) {
  if (begin == taking->shard_count) {
    if (options_.writeback) {
      writeback_ = std::make_shared<Writeback>(*options_.writeback, context_, shards_);
    }
    return StartShards(taking->done);
  }
  const ShardId end = std::min(taking->shard_count, begin + kShardsTakenAtOnce);
  Transaction take;
  take.compares = options_.taken_under;
  for (ShardId id = begin; id < end; ++id) {
    const std::string key = ShardKey(id);
    v1::ShardRecord record;
    if (const auto it = taking->known.find(key);
        it != taking->known.end() && !record.ParseFromString(it->second.value)) {
      return taking->done(Damaged(key));
    }
    const StatusOr<std::vector<TableLog*>> logs = logs_of_(record);
    if (!logs.ok()) {
      return taking->done(logs.status());
    }
    record.set_owner(options_.id);
    record.set_epoch(record.epoch() + 1);
    take.compares.push_back({key, taking->known[key].revision});
    take.puts.push_back({key, record.SerializeAsString()});
    shards_.push_back(std::make_shared<Shard>(
        Shard::Options{.id = id, .epoch = record.epoch(), .on_fenced = options_.on_fenced}, *logs,
        executor_));
  }
  coordinator_.Commit(
      std::move(take), [this, taking, end](const StatusOr<TransactionReply>& reply) {
        if (!reply.ok() || !reply->succeeded) {
          return taking->done(reply.ok() ? MakeError(StatusCode::kAborted,
                                                     "another front-end took the shards meanwhile")
                                         : reply.status());
        }
        TakeSome(taking, end);
      });
}

void FrontEnd::StartShards(std::function<void(Status)> done) {
  const auto finish = [this, done](const Status& status) {
    if (!status.ok()) {
      return done(status);
    }
    coordinator_.List(kSpacesPrefix, [this, done](StatusOr<std::vector<KeyValue>> found) {
      if (!found.ok()) {
        return done(found.status());
      }
      for (const KeyValue& entry : *found) {
        v1::SpaceRecord record;
        if (!record.ParseFromString(entry.value)) {
          return done(Damaged(entry.key));
        }
        MutexLock lock(mutex_);
        spaces_[record.space()] = ToInfo(record);
      }
      started_ = true;
      serving_ = true;
      done(Status());
      Reconcile(context_, shards_, [this] { reconciled_ = true; });
      if (writeback_ != nullptr) {
        writeback_->Start();
      }
    });
  };
  const auto gather = std::make_shared<Gather>(shards_.size(), finish);
  for (const auto& shard : shards_) {
    // Every replica refuses older epochs before anything is read.
    const auto sealed = std::make_shared<Gather>(
        shard->replicas().size(), [this, shard, gather](const Status& status) {
          if (!status.ok()) {
            return gather->Answer(status);
          }
          ReadShard(shard, "", [gather](const Status& read) { gather->Answer(read); });
        });
    for (TableLog* replica : shard->replicas()) {
      replica->Seal(shard->id(), shard->epoch(),
                    [this, shard, sealed, replica](const StatusOr<LogEnd>& end) {
                      if (end.ok() && replica == shard->replicas().front()) {
                        shard->Restore(*end);
                      }
                      sealed->Answer(end.status());
                    });
    }
  }
}

void FrontEnd::ReadShard(std::shared_ptr<Shard> shard, std::string cursor,
                         std::function<void(Status)> done) {
  shard->replicas().front()->Read(shard->id(), std::move(cursor), kReadSlots,
                                  [this, shard, done](const StatusOr<LogReadReply>& reply) {
                                    if (!reply.ok()) {
                                      return done(reply.status());
                                    }
                                    for (const SlotRecord& record : reply->slots) {
                                      if (Status status = shard->Restore(record); !status.ok()) {
                                        return done(std::move(status));
                                      }
                                    }
                                    for (const RequestRecord& record : reply->requests) {
                                      if (Status status = shard->Restore(record); !status.ok()) {
                                        return done(std::move(status));
                                      }
                                    }
                                    if (reply->next_cursor.empty()) {
                                      shard->Start(done);
                                    } else {
                                      // Not within this call: a log may answer at once, piece by
                                      // piece.
                                      executor_.Post([this, shard, cursor = reply->next_cursor,
                                                      done] { ReadShard(shard, cursor, done); });
                                    }
                                  });
}

void FrontEnd::Stop() {
  serving_ = false;
  if (writeback_ != nullptr) {
    writeback_->Stop();
  }
  for (const auto& shard : shards_) {
    shard->Stop();
  }
}

bool FrontEnd::Idle() const {
  return std::ranges::all_of(shards_, [](const auto& shard) { return shard->Idle(); }) &&
         releaser_.pending() == 0;
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
        return opening->done(Damaged(key));
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
    record.set_name(call.name);
    record.set_holder(call.holder);
    record.set_token(record.token() + 1);
    if (found->has_value()) {
      return CommitOpen(opening, (*found)->revision, key, 0);
    }
    coordinator_.Get(kNextSpaceKey, [this, opening, key](StatusOr<std::optional<KeyValue>> next) {
      if (!next.ok()) {
        return opening->done(next.status());
      }
      const std::optional<SpaceId> id = next->has_value() ? ToSpaceId((*next)->value) : 1;
      if (!id) {
        return opening->done(Damaged(kNextSpaceKey));
      }
      opening->record.set_space(*id);
      opening->record.set_pages(opening->call.create_pages);
      opening->record.set_kind(static_cast<v1::SpaceKind>(
          opening->call.kind == SpaceKind::kUnset ? SpaceKind::kDevice : opening->call.kind));
      CommitOpen(opening, 0, key, next->has_value() ? (*next)->revision : 0);
    });
  });
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
    const v1::SpaceRecord& record = opening->record;
    {
      MutexLock lock(mutex_);
      spaces_[record.space()] = ToInfo(record);
    }
    RaiseEverywhere(record.space(), record.token(), [this, opening](Status status) {
      if (!status.ok()) {
        return opening->done(std::move(status));
      }
      const StatusOr<ShardMap> map = GetShardMap();
      if (!map.ok()) {
        return opening->done(map.status());
      }
      opening->done(OpenReply{opening->record.space(), opening->record.token(),
                              opening->record.pages(), *map, ToInfo(opening->record).kind});
    });
  });
}

void FrontEnd::RaiseEverywhere(SpaceId space, Token token, std::function<void(Status)> done) {
  const auto gather = std::make_shared<Gather>(shards_.size(), std::move(done));
  for (const auto& shard : shards_) {
    shard->RaiseToken(space, token, [gather](const Status& status) { gather->Answer(status); });
  }
}

void FrontEnd::Close(SpaceId space, Token token, std::function<void(Status)> done) {
  const StatusOr<SpaceInfo> info = FindSpace(space);
  if (!info.ok()) {
    return done(info.status());
  }
  const std::string key = kSpacesPrefix + info->name;
  coordinator_.Get(key, [this, key, space, token, done](StatusOr<std::optional<KeyValue>> found) {
    v1::SpaceRecord record;
    if (!found.ok()) {
      return done(found.status());
    }
    if (!found->has_value() || !record.ParseFromString((*found)->value)) {
      return done(Damaged(key));
    }
    if (record.token() != token) {
      return done(MakeError(ErrorReason::kFenced, "the space was opened again or closed"));
    }
    record.clear_holder();
    record.set_token(token + 1);
    coordinator_.Commit(
        {{{key, (*found)->revision}}, {{key, record.SerializeAsString()}}, {}},
        [this, record, space, done](StatusOr<TransactionReply> reply) {
          if (!reply.ok() || !reply->succeeded) {
            return done(reply.ok() ? MakeError(ErrorReason::kFenced, "the space was opened again")
                                   : reply.status());
          }
          {
            MutexLock lock(mutex_);
            spaces_[space] = ToInfo(record);
          }
          RaiseEverywhere(space, record.token(), done);
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
        return done(Damaged(entry.key));
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
  ShardMap map;
  for (const auto& shard : shards_) {
    map.epochs.push_back(shard->epoch());
  }
  return map;
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
  return it->second;
}

StatusOr<SpaceInfo> FrontEnd::CheckExtents(const RequestHeader& header,
                                           const std::vector<Extent>& extents,
                                           uint32_t pages_max) const {
  StatusOr<SpaceInfo> space = FindSpace(header.space);
  if (!space.ok()) {
    return space;
  }
  const auto shard_count = static_cast<uint32_t>(shards_.size());
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
  auto shard = shards_[call.header.shard];
  StorePages(context_, std::move(shard), std::move(call), std::move(done));
}

void FrontEnd::Load(LoadCall call, LoadDone done) {
  const StatusOr<SpaceInfo> space = CheckExtents(call.header, call.extents, kBatchPagesMax);
  if (!space.ok()) {
    return done({space.status(), {}, {}});
  }
  call.kind = space->kind;
  auto shard = shards_[call.header.shard];
  LoadPages(context_, std::move(shard), std::move(call), std::move(done));
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
  auto shard = shards_[call.header.shard];
  FreePages(context_, std::move(shard), std::move(call), std::move(done));
}

void FrontEnd::Allocate(AllocateCall call, MutationDone done) {
  const StatusOr<SpaceInfo> space = FindSpace(call.header.space);
  Status status = space.status();
  if (status.ok()) {
    status = ValidateHeader(call.header, static_cast<uint32_t>(shards_.size()));
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
  call.shape.shard_count = static_cast<uint32_t>(shards_.size());
  auto shard = shards_[call.header.shard];
  AllocatePages(context_, std::move(shard), std::move(call), std::move(done));
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
  auto shard = shards_[call.header.shard];
  DuplicatePages(context_, std::move(shard), std::move(call), std::move(done));
}

void FrontEnd::Prefetch(LoadCall call, std::function<void(Status)> done) {
  const StatusOr<SpaceInfo> space = CheckExtents(call.header, call.extents, kBatchPagesMax);
  if (!space.ok()) {
    return done(space.status());
  }
  PrefetchPages(context_, shards_[call.header.shard], call, done);
}

StatusOr<std::vector<BackingRun>> FrontEnd::Extents(const RequestHeader& header,
                                                    Extent extent) const {
  const StatusOr<SpaceInfo> space = CheckExtents(header, {extent}, kStripePages);
  VSWAP_RETURN_IF_ERROR(space.status());
  const Shard& shard = *shards_[header.shard];
  VSWAP_RETURN_IF_ERROR(shard.CheckRead(header));
  std::vector<BackingRun> runs;
  const bool allocated = space->kind == SpaceKind::kAllocated;
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
    table.ForEach(header.space, extent, [&](Offset offset, const Entry& entry) {
      add(offset - next, {});
      add(1, entry);
      next = offset + 1;
    });
  });
  add(extent.offset + extent.pages - next, {});
  return runs;
}

void FrontEnd::MoveAll(Tier from, Tier to, std::function<void(uint64_t)> done) {
  MovePages(context_, shards_, AllOf(from), to,
            [done = std::move(done)](const MoveResult& result) { done(result.left); });
}

void FrontEnd::Check(Callback<CheckReport> done) {
  if (!reconciled_ || checking_.exchange(true)) {
    return done(MakeError(StatusCode::kUnavailable,
                          reconciled_
                              ? "another check is under way"
                              : "tables and nodes are still being compared after the start"));
  }
  CheckEverything(context_, shards_, [this, done = std::move(done)](CheckReport report) {
    checking_ = false;
    done(std::move(report));
  });
}

std::map<SpaceId, SpaceCounts> FrontEnd::Counts() const {
  std::map<SpaceId, SpaceCounts> counts;
  if (!started_) {
    return counts;
  }
  for (const auto& shard : shards_) {
    shard->Inspect([&](const EntryTable& table) {
      for (const auto& [space, of_shard] : table.counts()) {
        counts[space] += of_shard;
      }
    });
  }
  return counts;
}

uint64_t FrontEnd::stores_overtaken() const {
  uint64_t total = 0;
  if (!started_) {
    return total;
  }
  for (const auto& shard : shards_) {
    total += shard->overtaken_total();
  }
  return total;
}

}  // namespace vswap
