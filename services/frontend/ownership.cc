#include "services/frontend/ownership.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "services/cluster/registry.h"
#include "services/frontend/log_placement.h"
#include "services/frontend/shard_assignment.h"

namespace vswap {
namespace {

// etcd takes 128 comparisons and changes in a transaction.
constexpr size_t kShardsTakenAtOnce = 32;
constexpr size_t kReleasedAtOnce = 8;
constexpr int kPauseLooks = 5;
// So long an owner that has lost its lease may take to come back, where nobody else has the table.
constexpr int kLeasesToReturn = 3;
constexpr Duration kIdlePoll = std::chrono::milliseconds(5);
constexpr Duration kJoinRetry = std::chrono::seconds(1);
constexpr char kShardsPrefix[] = "shards/";
constexpr char kFrontEndsPrefix[] = "frontends/";

std::optional<ShardId> IdOf(const std::string& key) {
  ShardId id = 0;
  const char* const begin = key.data() + sizeof(kShardsPrefix) - 1;
  const char* const end = key.data() + key.size();
  const auto [rest, error] = std::from_chars(begin, end, id);
  return error == std::errc() && rest == end ? std::optional(id) : std::nullopt;
}

std::vector<WatchEvent> ToEvents(const std::vector<KeyValue>& records) {
  std::vector<WatchEvent> events;
  for (const KeyValue& record : records) {
    events.push_back({record.key, record.value, record.revision});
  }
  return events;
}

}  // namespace

// Calls `done` with the first failure once all parts have answered.
class Ownership::Round {
 public:
  Round(size_t parts, std::function<void(Status)> done) : missing_(parts), done_(std::move(done)) {}
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

Ownership::Ownership(Options options, const TakingContext& taking, ShardTable& shards,
                     Validity& validity, FrontEndCounters& counters)
    : options_(std::move(options)),
      taking_(taking),
      shards_(shards),
      validity_(validity),
      counters_(counters) {
  keeper_ = std::make_shared<LogKeeper>(taking_, counters_);
}

void Ownership::Start(std::function<void(Status)> done) {
  taking_.on_fenced = [weak = weak_from_this()](const std::shared_ptr<Shard>& shard,
                                                const Status& why) {
    if (const auto self = weak.lock()) {
      self->OnFenced(shard, why);
    }
  };
  if (!among_others()) {
    return TakeAll(std::move(done));
  }
  {
    MutexLock lock(mutex_);
    started_ = std::move(done);
  }
  validity_.Never();
  Join();
}

void Ownership::Stop(std::function<void(Status)> done) {
  LeaseId lease = 0;
  std::vector<std::unique_ptr<WatchHandle>> watches;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    lease = std::exchange(lease_, 0);
    watches.swap(watches_);
    if (among_others()) {
      validity_.Never();  // others take its shards as soon as the lease has ended
    }
  }
  if (lease == 0) {
    return done(Status());
  }
  taking_.coordinator.RevokeLease(
      lease, [done = std::move(done)](const StatusOr<LeaseId>& ended) { done(ended.status()); });
}

std::string Ownership::LiveOwner(const v1::ShardRecord& record) const {
  const auto it = live_.find(record.owner());
  return it != live_.end() && it->second.record.process() == record.owner_process() ? record.owner()
                                                                                    : std::string();
}

ShardMap Ownership::Map() const {
  ShardMap map;
  if (!among_others()) {
    for (ShardId id = 0; id < shards_.count(); ++id) {
      const auto shard = shards_.Find(id);
      map.epochs.push_back(shard == nullptr ? 0 : shard->epoch());
    }
    return map;
  }
  std::map<std::string, uint32_t> places;
  MutexLock lock(mutex_);
  for (const auto& [name, live] : live_) {
    map.front_ends.push_back(live.record.address());
    places[name] = static_cast<uint32_t>(map.front_ends.size());
  }
  for (ShardId id = 0; id < shards_.count(); ++id) {
    const auto it = known_.find(id);
    const bool known = it != known_.end();
    const std::string owner = known ? LiveOwner(it->second.record) : std::string();
    // What the record gives this front-end and is not served here: others may know better.
    const bool answered = !owner.empty() && (owner != options_.id || shards_.Find(id) != nullptr);
    map.epochs.push_back(known ? it->second.record.epoch() : 0);
    map.owners.push_back(answered ? places[owner] : 0);
  }
  return map;
}

bool Ownership::AllOwned() const {
  MutexLock lock(mutex_);
  for (ShardId id = 0; among_others() && id < shards_.count(); ++id) {
    const auto it = known_.find(id);
    if (it == known_.end() || LiveOwner(it->second.record).empty()) {
      return false;
    }
  }
  return true;
}

size_t Ownership::shards_waiting() const {
  MutexLock lock(mutex_);
  return static_cast<size_t>(std::ranges::count_if(known_, [this](const auto& known) {
    mutex_.AssertHeld();
    return LiveOwner(known.second.record) == options_.id && shards_.Find(known.first) == nullptr;
  }));
}

std::vector<v1::FrontEndRecord> Ownership::Others() const {
  std::vector<v1::FrontEndRecord> others;
  MutexLock lock(mutex_);
  for (const auto& [name, live] : live_) {
    if (name != options_.id) {
      others.push_back(live.record);
    }
  }
  return others;
}

// --- Taking.

void Ownership::TakeAll(std::function<void(Status)> done) {
  taking_.coordinator.List(kShardsPrefix, [self = shared_from_this(), done = std::move(done)](
                                              const StatusOr<std::vector<KeyValue>>& found) {
    if (!found.ok()) {
      return done(found.status());
    }
    std::vector<ShardId> ids;
    {
      MutexLock lock(self->mutex_);
      for (const KeyValue& entry : *found) {
        const std::optional<ShardId> id = IdOf(entry.key);
        if (!id || !self->known_[*id].record.ParseFromString(entry.value)) {
          return done(DamagedRecord(entry.key));
        }
        self->known_[*id].revision = entry.revision;
      }
      for (ShardId id = 0; id < self->shards_.count(); ++id) {
        ids.push_back(id);
        self->changing_.insert(id);
      }
    }
    self->Take(ids, done);
  });
}

void Ownership::Take(const std::vector<ShardId>& ids, std::function<void(Status)> done) {
  const auto round = std::make_shared<Round>(ids.size(), std::move(done));
  for (size_t begin = 0; begin < ids.size(); begin += kShardsTakenAtOnce) {
    const size_t end = std::min(ids.size(), begin + kShardsTakenAtOnce);
    const std::vector<ShardId> some(ids.begin() + static_cast<ptrdiff_t>(begin),
                                    ids.begin() + static_cast<ptrdiff_t>(end));
    const auto fail = [self = shared_from_this(), round, some](const Status& status) {
      for (const ShardId id : some) {
        self->EndTaking(id, status);
        round->Answer(status);
      }
    };
    StatusOr<Batch> made;
    {
      MutexLock lock(mutex_);
      made = MakeBatch(some);
    }
    if (!made.ok()) {
      fail(made.status());
      continue;
    }
    const auto batch = std::make_shared<Batch>(*std::move(made));
    taking_.coordinator.Commit(batch->transaction, [self = shared_from_this(), round, batch,
                                                    fail](const StatusOr<TransactionReply>& reply) {
      if (!reply.ok() || !reply->succeeded) {
        return fail(reply.ok() ? MakeError(StatusCode::kAborted,
                                           "another front-end changed the shards meanwhile")
                               : reply.status());
      }
      for (size_t i = 0; i < batch->ids.size(); ++i) {
        self->OnClaimed(batch->ids[i], {nullptr, batch->records[i], reply->revision},
                        [round](const Status& status) { round->Answer(status); });
      }
    });
  }
}

StatusOr<Ownership::Batch> Ownership::MakeBatch(const std::vector<ShardId>& ids) {
  Batch batch;
  batch.ids = ids;
  std::set<std::string> names;
  for (const ShardId id : ids) {
    const Known& known = known_[id];
    v1::ShardRecord record = known.record;
    if (!record.owner().empty() && among_others()) {
      names.insert(record.owner());
    }
    if (record.epoch() == 0) {
      PlaceNewLog(taking_.logs.Stores(), taking_.log_replicas, id, record);
      if (record.replicas_size() == 0) {
        return MakeError(StatusCode::kUnavailable, "there is no store for the table log");
      }
    }
    record.set_owner(options_.id);
    record.set_owner_process(among_others() ? options_.membership->process : 0);
    record.set_epoch(record.epoch() + 1);
    const std::string key = ShardKey(id);
    batch.transaction.compares.push_back({key, known.revision});
    batch.transaction.puts.push_back({key, record.SerializeAsString()});
    batch.records.push_back(std::move(record));
  }
  if (among_others()) {
    // Nobody is robbed who has come back, and only who is live takes.
    names.insert(options_.id);
    for (const std::string& name : names) {
      const auto it = live_.find(name);
      batch.transaction.compares.push_back(
          {kFrontEndsPrefix + name, it == live_.end() ? 0 : it->second.revision});
    }
  }
  return batch;
}

void Ownership::OnClaimed(ShardId id, OwnedShard owned, std::function<void(Status)> done) {
  // The shard holds it until its first write counts, and is held by this object: not the reverse.
  const auto finish = [weak = weak_from_this(), id, done = std::move(done)](Status status) {
    if (const auto self = weak.lock()) {
      self->EndTaking(id, status);
      done(std::move(status));
    }
  };
  {
    // The answer may be old: what the watch has told since does not come again.
    MutexLock lock(mutex_);
    if (Known& known = known_[id]; known.revision < owned.revision) {
      known = {owned.record, owned.revision};
    }
  }
  const Epoch epoch = owned.record.epoch();
  TakeShard(taking_, id, std::move(owned),
            [self = shared_from_this(), id, epoch, finish](const StatusOr<OwnedShard>& taken) {
              self->NoteTaken(id, epoch, taken.status());
              if (!taken.ok()) {
                return finish(taken.status());
              }
              self->options_.prepare(
                  taken->shard, [self, finish, owned = *taken](const Status& prepared) {
                    prepared.ok() ? self->Serve(owned, finish) : finish(prepared);
                  });
            });
}

void Ownership::NoteTaken(ShardId id, Epoch epoch, const Status& status) {
  MutexLock lock(mutex_);
  if (status.ok()) {
    not_taken_.erase(id);
  } else {
    not_taken_[id] = {epoch, status};
  }
}

bool Ownership::IsLogLost(const Status& status) {
  return status.code() == StatusCode::kFailedPrecondition &&
         ReasonOf(status) != ErrorReason::kStaleEpoch;
}

void Ownership::Serve(const OwnedShard& owned, std::function<void(Status)> done) {
  // From here on a lost replica does not hold it up.
  keeper_->Add(owned);
  owned.shard->Start([weak = weak_from_this(), weak_shard = std::weak_ptr(owned.shard),
                      done = std::move(done)](Status started) {
    const auto self = weak.lock();
    const auto shard = weak_shard.lock();
    if (self != nullptr && shard != nullptr && started.ok()) {
      started = self->OnStarted(shard);
    }
    done(std::move(started));
  });
}

Status Ownership::OnStarted(const std::shared_ptr<Shard>& shard) {
  shards_.Add(shard);
  bool overtaken = false;
  {
    // What the watch told before the shard was in the table had nobody to fence.
    MutexLock lock(mutex_);
    overtaken = known_[shard->id()].record.epoch() > shard->epoch();
  }
  if (overtaken) {
    shard->Fence(MakeError(ErrorReason::kStaleEpoch, "another front-end owns it"));
  }
  if (shard->failed()) {
    shards_.Remove(*shard);
    return MakeError(StatusCode::kAborted, "another front-end took the shard meanwhile");
  }
  ++counters_.shards_taken;
  if (options_.on_taken) {
    options_.on_taken(shard);
  }
  return Status();
}

void Ownership::EndTaking(ShardId id, const Status& status) {
  MutexLock lock(mutex_);
  changing_.erase(id);
  Status& told = told_[id];
  if (!status.ok() && status != told && among_others()) {
    spdlog::warn("shard {} is not taken: {}", id, std::string(MessageOf(status)));
  }
  told = status;
  if (!status.ok()) {
    pauses_[id] = status.code() == StatusCode::kAborted ? 1 : kPauseLooks;
  }
}

void Ownership::OnFenced(const std::shared_ptr<Shard>& shard, const Status& why) {
  Drop(*shard);
  ++counters_.shards_lost;
  spdlog::warn("shard {} is lost: {}", shard->id(), std::string(MessageOf(why)));
}

void Ownership::Drop(const Shard& shard) {
  keeper_->Remove(shard);
  shards_.Remove(shard);
}

void Ownership::GiveUpPages(ShardId id, bool silent_too,
                            const std::function<void(Callback<SpaceId>)>& find_end,
                            std::function<void(Status)> done) {
  Known known;
  uint64_t own_revision = 0;
  Status refusal;
  {
    MutexLock lock(mutex_);
    refusal = CheckGiveUp(id);
    if (refusal.ok()) {
      changing_.insert(id);
      known = known_[id];
      own_revision = live_[options_.id].revision;
    }
  }
  if (!refusal.ok()) {
    return done(std::move(refusal));
  }
  const auto fail = [self = shared_from_this(), id, done](Status why) {
    {
      MutexLock lock(self->mutex_);
      self->changing_.erase(id);
    }
    done(std::move(why));
  };
  taking_.coordinator.List("nodes/", [self = shared_from_this(), id, known, own_revision,
                                      silent_too, find_end, done,
                                      fail](const StatusOr<std::vector<KeyValue>>& nodes) {
    if (!nodes.ok()) {
      return fail(nodes.status());
    }
    auto unchanged = CompareLogs(id, known.record, *nodes, silent_too);
    if (!unchanged.ok()) {
      return fail(unchanged.status());
    }
    unchanged->push_back({ShardKey(id), known.revision});
    unchanged->push_back({self->OwnKey(), own_revision});
    find_end([self, id, record = known.record, unchanged = *unchanged, done,
              fail](const StatusOr<SpaceId>& end) {
      end.ok() ? self->CommitGivenUp(id, record, *end, unchanged, done, fail) : fail(end.status());
    });
  });
}

void Ownership::CommitGivenUp(ShardId id, v1::ShardRecord record, SpaceId spaces_end,
                              std::vector<Transaction::Compare> unchanged,
                              const std::function<void(Status)>& done,
                              const std::function<void(Status)>& fail) {
  record.set_epoch(record.epoch() + 1);
  record.clear_replicas();
  record.set_times_given_up(record.times_given_up() + 1);
  record.set_lost_spaces_end(spaces_end);
  taking_.coordinator.Commit(
      {std::move(unchanged), {{ShardKey(id), record.SerializeAsString()}}, {}},
      [self = shared_from_this(), id, record, done, fail](const StatusOr<TransactionReply>& reply) {
        if (!reply.ok() || !reply->succeeded) {
          return fail(reply.ok() ? MakeError(StatusCode::kAborted,
                                             "the shard or a store has changed meanwhile")
                                 : reply.status());
        }
        spdlog::warn("shard {} is given up: what spaces below {} had in it is lost", id,
                     record.lost_spaces_end());
        ++self->counters_.shards_given_up;
        self->OnClaimed(id, {nullptr, record, reply->revision}, done);
      });
}

Status Ownership::CheckGiveUp(ShardId id) {
  const auto refuse = [id](StatusCode code, const std::string& why) {
    return MakeError(code, "shard " + std::to_string(id) + why);
  };
  if (id >= shards_.count()) {
    return InvalidField("shard", std::to_string(id), "0.." + std::to_string(shards_.count() - 1));
  }
  if (!among_others()) {
    return refuse(StatusCode::kFailedPrecondition, " is of a front-end that is alone");
  }
  if (shards_.Find(id) != nullptr) {
    return refuse(StatusCode::kFailedPrecondition, " is served");
  }
  const v1::ShardRecord& record = known_[id].record;
  const auto failure = not_taken_.find(id);
  if (LiveOwner(record) != options_.id || changing_.contains(id) || failure == not_taken_.end() ||
      failure->second.first != record.epoch() ||
      failure->second.second.code() == StatusCode::kAborted ||
      ReasonOf(failure->second.second) == ErrorReason::kStaleEpoch) {
    return refuse(StatusCode::kAborted, " is being taken, or is another front-end's: look again");
  }
  if (record.replicas_size() == 0) {
    return refuse(StatusCode::kFailedPrecondition,
                  " was given up already, and begins anew once there is a store for its log");
  }
  if (record.times_given_up() == kTimesGivenUpMax) {
    return refuse(
        StatusCode::kResourceExhausted,
        " was given up " + std::to_string(kTimesGivenUpMax) + " times, as often as it can be");
  }
  return Status();
}

// --- Among others: the record and its lease.

void Ownership::Join() {
  const auto id = std::make_shared<std::atomic<LeaseId>>(0);
  taking_.coordinator.GrantLease(
      options_.membership->lease,
      [weak = weak_from_this(), id](const Status& why) {
        if (const auto self = weak.lock()) {
          self->OnLeaseLost(*id, why);
        }
      },
      [self = shared_from_this(), id](const StatusOr<Lease>& lease) {
        if (!lease.ok()) {
          return self->JoinLater();
        }
        *id = lease->id;
        {
          MutexLock lock(self->mutex_);
          if (self->stopped_) {
            return;
          }
          self->lease_ = lease->id;
        }
        self->PutRecord(*lease);
      });
}

void Ownership::JoinLater() {
  taking_.executor.PostAfter(kJoinRetry, [self = shared_from_this()] {
    {
      MutexLock lock(self->mutex_);
      if (self->stopped_ || self->lease_ != 0) {
        return;
      }
    }
    self->Join();
  });
}

// Once there is none of another process of this id: while that one's lease runs it may serve, as
// one does that was started twice or is cut off.
void Ownership::PutRecord(const Lease& lease) {
  taking_.coordinator.Get(
      OwnKey(), [self = shared_from_this(), lease](const StatusOr<std::optional<KeyValue>>& found) {
        v1::FrontEndRecord record;
        if (!found.ok()) {
          return self->DropLease(lease.id);
        }
        if (!found->has_value()) {
          return self->PutRecordOver(0, lease);
        }
        if (record.ParseFromString((*found)->value) &&
            record.process() == self->options_.membership->process) {
          return self->PutRecordOver((*found)->revision, lease);
        }
        if (!self->waits_told_.exchange(true)) {
          spdlog::warn("waits for the lease of another process of the id {}, at {}",
                       self->options_.id, record.address());
        }
        self->PutRecordLater(lease);
      });
}

void Ownership::PutRecordLater(const Lease& lease) {
  taking_.executor.PostAfter(options_.membership->look, [self = shared_from_this(), lease] {
    {
      MutexLock lock(self->mutex_);
      if (self->stopped_ || self->lease_ != lease.id) {
        return;
      }
    }
    self->PutRecord(lease);
  });
}

// In place of the record that was seen: a late copy of an earlier put, of this process or of the
// one before it, must not replace a record under another lease, and take it away when its own ends.
void Ownership::PutRecordOver(uint64_t revision, const Lease& lease) {
  v1::FrontEndRecord record;
  record.set_name(options_.id);
  record.set_address(options_.membership->address);
  record.set_process(options_.membership->process);
  record.set_machine(options_.membership->machine);
  record.set_zone(options_.membership->zone);
  taking_.coordinator.Commit(
      {{{OwnKey(), revision}}, {{OwnKey(), record.SerializeAsString(), lease.id}}, {}},
      [self = shared_from_this(), lease](const StatusOr<TransactionReply>& reply) {
        if (reply.ok() && reply->succeeded) {
          self->OnRecordPut(lease, reply->revision);
        } else {
          self->DropLease(lease.id);
        }
      });
}

// A lease that no record is known to be under.
void Ownership::DropLease(LeaseId lease) {
  {
    MutexLock lock(mutex_);
    if (lease_ == lease) {
      lease_ = 0;
    }
  }
  taking_.coordinator.RevokeLease(lease, [](const StatusOr<LeaseId>&) {});
  JoinLater();
}

// Who took a shard while there was no record has done so before this list; later nobody can.
void Ownership::OnRecordPut(const Lease& lease, uint64_t revision) {
  taking_.coordinator.List(kShardsPrefix, [self = shared_from_this(), lease,
                                           revision](const StatusOr<std::vector<KeyValue>>& found) {
    if (!found.ok()) {
      return self->taking_.executor.PostAfter(
          kJoinRetry, [self, lease, revision] { self->OnRecordPut(lease, revision); });
    }
    self->ApplyShards(ToEvents(*found));
    bool first = false;
    {
      MutexLock lock(self->mutex_);
      if (self->stopped_ || self->lease_ != lease.id) {
        return;
      }
      first = !std::exchange(self->joined_before_, true);
      if (lease.valid_until != nullptr) {
        self->validity_.Until(lease.valid_until);
      } else {
        self->validity_.Always();
      }
    }
    spdlog::info("{} has joined", self->options_.id);
    if (first) {
      self->WatchAll();
      self->LookAfter(self->options_.membership->look);
    }
  });
}

void Ownership::OnLeaseLost(LeaseId lease, const Status& why) {
  {
    MutexLock lock(mutex_);
    if (stopped_ || lease_ != lease) {
      return;
    }
    lease_ = 0;
    settling_ = static_cast<int>(2 * options_.membership->lease / options_.membership->look);
  }
  spdlog::warn("the lease is lost: {}", std::string(MessageOf(why)));
  validity_.Never();
  Join();
}

// --- Among others: what is known, and what follows from it.

void Ownership::WatchAll() {
  const auto watch = [this](const char* prefix, auto apply) {
    const std::weak_ptr<Ownership> weak = weak_from_this();
    return taking_.coordinator.Watch(
        prefix, 0,
        {.on_events =
             [weak, apply](const std::vector<WatchEvent>& events) {
               if (const auto self = weak.lock()) {
                 apply(*self, events, false);
               }
             },
         .on_resync =
             [weak, apply](const std::vector<KeyValue>& records, uint64_t) {
               if (const auto self = weak.lock()) {
                 apply(*self, ToEvents(records), true);
               }
             }});
  };
  std::vector<std::unique_ptr<WatchHandle>> watches;
  // A shard's record never goes: a list of all is as good as events.
  watches.push_back(watch(
      kShardsPrefix, [](Ownership& self, const auto& events, bool) { self.ApplyShards(events); }));
  watches.push_back(watch(kFrontEndsPrefix, [](Ownership& self, const auto& events, bool all) {
    self.ApplyFrontEnds(events, all);
  }));
  MutexLock lock(mutex_);
  if (!stopped_) {
    watches_.swap(watches);
  }
}

void Ownership::ApplyShards(const std::vector<WatchEvent>& events) {
  std::vector<std::shared_ptr<Shard>> lost;
  {
    MutexLock lock(mutex_);
    for (const WatchEvent& event : events) {
      if (const std::optional<ShardId> id = IdOf(event.key)) {
        ApplyShard(*id, event, &lost);
      }
    }
  }
  for (const auto& shard : lost) {
    shard->Fence(MakeError(ErrorReason::kStaleEpoch, "another front-end owns it"));
    Drop(*shard);  // also one that had ended, since its log begins anew
  }
}

void Ownership::ApplyShard(ShardId id, const WatchEvent& event,
                           std::vector<std::shared_ptr<Shard>>* lost) {
  Known& known = known_[id];
  v1::ShardRecord record;
  if (event.revision < known.revision || !event.value || !record.ParseFromString(*event.value)) {
    return;
  }
  known = {record, event.revision};
  // Kept, but not in the table: it was to be served.
  for (const auto& shard : {shards_.Find(id), keeper_->Find(id)}) {
    if (shard != nullptr && record.epoch() > shard->epoch()) {
      lost->push_back(shard);
    }
  }
}

void Ownership::ApplyFrontEnds(const std::vector<WatchEvent>& events, bool all) {
  MutexLock lock(mutex_);
  if (all) {
    live_.clear();
  }
  for (const WatchEvent& event : events) {
    const std::string name = event.key.substr(sizeof(kFrontEndsPrefix) - 1);
    v1::FrontEndRecord record;
    if (event.value && record.ParseFromString(*event.value)) {
      live_[name] = {record, event.revision};
    } else {
      live_.erase(name);
    }
  }
}

void Ownership::LookAfter(Duration delay) {
  taking_.executor.PostAfter(delay, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->Look();
    }
  });
}

bool Ownership::MayBeInMemory(ShardId id, const std::vector<LogNodes::Store>& stores) {
  const v1::ShardRecord& record = known_[id].record;
  const bool may =
      !record.owner().empty() && !live_.contains(record.owner()) && AllLogsGone(stores, record);
  int& looks = only_in_memory_[id];
  looks = may ? looks + 1 : 0;
  return may && looks <= kLeasesToReturn * options_.membership->lease / options_.membership->look;
}

void Ownership::Look() {
  const std::vector<LogNodes::Store> stores = taking_.logs.Stores();
  std::vector<ShardId> take;
  std::vector<std::shared_ptr<Shard>> release;
  bool quiet = false;
  std::function<void(Status)> started;
  {
    MutexLock lock(mutex_);
    if (stopped_) {
      return;
    }
    std::vector<std::string> names;
    for (const auto& [name, live] : live_) {
      names.push_back(name);
    }
    std::vector<std::string> owners;
    for (ShardId id = 0; id < shards_.count(); ++id) {
      owners.push_back(LiveOwner(known_[id].record));
    }
    const auto self = live_.find(options_.id);
    const bool is_live = lease_ != 0 && self != live_.end() &&
                         self->second.record.process() == options_.membership->process;
    settling_ -= is_live && settling_ > 0;
    const std::vector<std::string> wanted = AssignShards(owners, names);
    size_t releasing = 0;
    quiet = is_live;
    for (ShardId id = 0; is_live && id < shards_.count(); ++id) {
      const auto shard = shards_.Find(id);
      releasing += changing_.contains(id) && shard != nullptr;
      // What the record gives it is taken also where another one is to have it: who does not serve
      // it could not give it up, and nobody else may take it.
      const bool given = owners[id] == options_.id;
      const bool nobodys = known_[id].record.owner().empty();
      const bool mine = wanted[id] == options_.id;
      const bool kept = shard != nullptr || keeper_->Find(id) != nullptr;
      const bool wants =
          !kept && (given || (mine && owners[id].empty() && !MayBeInMemory(id, stores)));
      // What is lost does not hold up the rest.
      const auto failure = not_taken_.find(id);
      quiet &= (failure != not_taken_.end() && IsLogLost(failure->second.second)) ||
               !(wants || changing_.contains(id));
      if (changing_.contains(id) || (settling_ > 0 && !given && !nobodys)) {
        continue;
      }
      if (int& pause = pauses_[id]; pause > 0) {
        --pause;
        continue;
      }
      if (wants) {
        take.push_back(id);
      } else if (!mine && shard != nullptr && settling_ == 0 && releasing < kReleasedAtOnce) {
        release.push_back(shard);
        ++releasing;
      }
    }
    for (const ShardId id : take) {
      changing_.insert(id);
    }
    for (const auto& shard : release) {
      changing_.insert(shard->id());
    }
    if (quiet) {
      started = std::exchange(started_, nullptr);
    }
  }
  if (started) {
    started(Status());
  }
  if (!take.empty()) {
    Take(take, [](const Status&) {});
  }
  for (const auto& shard : release) {
    // Whoever takes it needs its log.
    shard->Barrier([self = shared_from_this(), shard](const Status&) { self->Release(shard); });
  }
  keeper_->Look();
  LookAfter(options_.membership->look);
}

void Ownership::Release(const std::shared_ptr<Shard>& shard) {
  if (shards_.Find(shard->id()) != shard) {
    MutexLock lock(mutex_);  // lost meanwhile
    changing_.erase(shard->id());
    return;
  }
  shard->Stop();
  if (!shard->Idle()) {
    return taking_.executor.PostAfter(kIdlePoll,
                                      [self = shared_from_this(), shard] { self->Release(shard); });
  }
  const std::optional<OwnedShard> owned = keeper_->Release(*shard);
  if (owned) {
    return GiveBack(*owned);
  }
  // Its record is being changed.
  taking_.executor.PostAfter(kIdlePoll,
                             [self = shared_from_this(), shard] { self->Release(shard); });
}

void Ownership::GiveBack(const OwnedShard& owned) {
  const auto& shard = owned.shard;
  shard->End();
  shards_.Remove(*shard);
  v1::ShardRecord record = owned.record;
  record.clear_owner();
  record.clear_owner_process();
  const std::string key = ShardKey(shard->id());
  // Whatever becomes of it: who does not serve a shard that the record gives it takes it again.
  taking_.coordinator.Commit(
      {{{key, owned.revision}}, {{key, record.SerializeAsString()}}, {}},
      [self = shared_from_this(), id = shard->id()](const StatusOr<TransactionReply>&) {
        ++self->counters_.shards_released;
        MutexLock lock(self->mutex_);
        self->changing_.erase(id);
      });
}

}  // namespace vswap
