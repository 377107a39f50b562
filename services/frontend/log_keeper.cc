#include "services/frontend/log_keeper.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "services/frontend/log_beginning.h"
#include "services/frontend/log_placement.h"

namespace vswap {
namespace {

constexpr Duration kRetry = std::chrono::seconds(1);
// More than the writes of a log that begins.
constexpr Sequence kSequencesPerAttempt = Sequence{1} << 32;

int FullIn(const v1::ShardRecord& record) {
  return static_cast<int>(std::ranges::count_if(
      record.replicas(), [](const v1::LogReplica& replica) { return replica.full(); }));
}

// Whether a replica is on a store that does not answer, and no write waits for it that would show
// that.
bool WouldMissNothing(const OwnedShard& owned, const std::vector<LogNodes::Store>& stores) {
  const bool silent =
      std::ranges::any_of(owned.record.replicas(), [&](const v1::LogReplica& replica) {
        const auto store = std::ranges::find(stores, replica.node(), &LogNodes::Store::node);
        return store != stores.end() && !store->answers;
      });
  return silent && std::ranges::all_of(owned.shard->Logs(), [](const Shard::LogState& state) {
           return state.awaited == 0;
         });
}

}  // namespace

void LogKeeper::Add(OwnedShard owned) {
  MutexLock lock(mutex_);
  Kept& kept = kept_[owned.shard->id()];
  kept = {};
  kept.owned = std::move(owned);
}

LogKeeper::Kept* LogKeeper::Find(const Shard& shard) {
  const auto it = kept_.find(shard.id());
  return it != kept_.end() && it->second.owned.shard.get() == &shard ? &it->second : nullptr;
}

void LogKeeper::Remove(const Shard& shard) {
  MutexLock lock(mutex_);
  if (Find(shard) != nullptr) {
    kept_.erase(shard.id());
  }
}

std::optional<OwnedShard> LogKeeper::Release(const Shard& shard) {
  const std::vector<LogNodes::Store> stores = context_.logs.Stores();
  MutexLock lock(mutex_);
  Kept* const kept = Find(shard);
  if (kept == nullptr || kept->changing || AllLogsGone(stores, kept->owned.record)) {
    return std::nullopt;
  }
  OwnedShard owned = std::move(kept->owned);
  kept_.erase(owned.shard->id());
  return owned;
}

std::shared_ptr<Shard> LogKeeper::Find(ShardId id) const {
  MutexLock lock(mutex_);
  const auto it = kept_.find(id);
  return it == kept_.end() ? nullptr : it->second.owned.shard;
}

size_t LogKeeper::degraded() const {
  MutexLock lock(mutex_);
  return static_cast<size_t>(std::ranges::count_if(kept_, [&](const auto& kept) {
    return kept.second.degraded ||
           FullIn(kept.second.owned.record) < static_cast<int>(context_.log_replicas);
  }));
}

size_t LogKeeper::without_log() const {
  MutexLock lock(mutex_);
  return static_cast<size_t>(
      std::ranges::count_if(kept_, [](const auto& kept) { return kept.second.without_log; }));
}

void LogKeeper::Look() {
  const std::vector<LogNodes::Store> stores = context_.logs.Stores();
  std::vector<std::pair<OwnedShard, Change>> changes;
  std::vector<OwnedShard> anew;
  std::vector<std::shared_ptr<Shard>> idle;
  {
    MutexLock lock(mutex_);
    auto filled_now = static_cast<size_t>(std::ranges::count_if(kept_, [](const auto& kept) {
      const v1::ShardRecord& record = kept.second.owned.record;
      return FullIn(record) < record.replicas_size();
    }));
    auto anew_now = static_cast<size_t>(std::ranges::count_if(
        kept_, [](const auto& kept) { return kept.second.changing && kept.second.without_log; }));
    for (auto& [id, kept] : kept_) {
      if (WouldMissNothing(kept.owned, stores)) {
        idle.push_back(kept.owned.shard);
      }
      std::optional<Change> change = FindChange(kept, stores, filled_now);
      if (kept.changing) {
        continue;
      }
      if (kept.without_log && anew_now < kFillingMax) {
        ++anew_now;
        kept.changing = true;
        anew.push_back(kept.owned);
      } else if (change && !kept.without_log) {
        filled_now += change->adds ? 1 : 0;
        kept.changing = true;
        changes.emplace_back(kept.owned, *std::move(change));
      }
    }
  }
  for (const auto& [owned, change] : changes) {
    if (change.counter != nullptr) {
      ++*change.counter;
    }
    Make(owned, change);
  }
  for (const OwnedShard& owned : anew) {
    BeginAnew(owned);
  }
  for (const auto& shard : idle) {
    shard->Barrier([](const Status&) {});
  }
}

std::optional<LogNodes::Store> LogKeeper::ChooseFor(const Kept& kept,
                                                    const std::vector<LogNodes::Store>& stores) {
  std::vector<LogNodes::Store> others = stores;
  for (LogNodes::Store& store : others) {
    store.draining |= store.node == kept.refused;
  }
  const auto other = ChooseLogStore(others, kept.owned.record, kept.owned.shard->id());
  return other ? other : ChooseLogStore(stores, kept.owned.record, kept.owned.shard->id());
}

void LogKeeper::NoteSilence(Kept& kept, const std::vector<Shard::LogState>& logs) {
  std::map<TableLog*, std::pair<Sequence, int>> silent;
  for (const Shard::LogState& state : logs) {
    if (state.awaited != 0) {
      const auto before = kept.silent.find(state.log);
      const bool same = before != kept.silent.end() && before->second.first == state.awaited;
      silent[state.log] = {state.awaited, same ? before->second.second + 1 : 1};
    }
  }
  kept.silent = std::move(silent);
}

LogKeeper::Change LogKeeper::Without(const Kept& kept, int replica, TableLog* log) {
  Change change;
  change.record = kept.owned.record;
  change.record.mutable_replicas()->DeleteSubrange(replica, 1);
  change.then = [log](Shard& shard) { shard.RemoveReplica(log); };
  return change;
}

std::optional<LogKeeper::Change> LogKeeper::FindChange(Kept& kept,
                                                       const std::vector<LogNodes::Store>& stores,
                                                       size_t filled_now) {
  const std::vector<Shard::LogState> logs = kept.owned.shard->Logs();
  NoteSilence(kept, logs);
  const v1::ShardRecord& record = kept.owned.record;
  kept.without_log = AllLogsGone(stores, record);
  int sound = 0;   // full, heard, and not to be emptied
  int steady = 0;  // of these, that have answered since the last look, or owe no answer
  int heard = 0;   // full, and heard
  int filling = 0;
  std::optional<std::pair<int, TableLog*>> lost;     // the first replica that is not heard
  std::optional<std::pair<int, TableLog*>> leaving;  // a full one that is to go
  std::set<std::string> machines;                    // of the sound ones
  bool shares_machine = false;
  for (int i = 0; i < record.replicas_size(); ++i) {
    const v1::LogReplica& replica = record.replicas(i);
    const auto store = std::ranges::find(stores, replica.node(), &LogNodes::Store::node);
    if (store == stores.end()) {
      continue;
    }
    const auto silence = kept.silent.find(store->log);
    const bool is_lost = FindLogStore(stores, replica) == nullptr ||
                         (silence != kept.silent.end() && silence->second.second > kSilentLooksMax);
    const auto state = std::ranges::find(logs, store->log, &Shard::LogState::log);
    if (is_lost) {
      kept.refused = store->answers ? replica.node() : kept.refused;
      lost = lost ? lost : std::pair(i, store->log);
    } else if (replica.full()) {
      ++heard;
      const bool owes = silence != kept.silent.end() && silence->second.second > 1;
      // Of two that have come to be on one machine the later one goes, as if its store drained.
      const bool shares = machines.contains(store->machine);
      shares_machine |= shares;
      const bool leaves = store->draining || shares;
      if (!leaves && !store->machine.empty()) {
        machines.insert(store->machine);
      }
      sound += !leaves;
      steady += !leaves && !owes;
      leaving = leaves ? std::pair(i, store->log) : leaving;
    } else if (state != logs.end() && state->filled) {
      Change full;
      full.record = record;
      full.record.mutable_replicas(i)->set_full(true);
      full.then = [log = store->log](Shard& shard) { shard.MarkFull(log); };
      return full;
    } else {
      ++filling;
    }
  }
  const auto wanted = static_cast<int>(context_.log_replicas);
  kept.degraded = shares_machine || heard < wanted;
  // The last full replica stays, whatever has become of it.
  if (lost && (heard > 0 || !record.replicas(lost->first).full())) {
    Change without = Without(kept, lost->first, lost->second);
    without.counter = &counters_.log_replicas_removed;
    return without;
  }
  // One that falls silent now is no reason to let go of one that answers.
  if (leaving && steady >= wanted) {
    return Without(kept, leaving->first, leaving->second);
  }
  if (sound >= wanted) {
    kept.refused = 0;
  }
  if (sound + filling >= wanted || heard == 0 || filled_now >= kFillingMax) {
    return std::nullopt;
  }
  const std::optional<LogNodes::Store> store = ChooseFor(kept, stores);
  if (!store) {
    return std::nullopt;
  }
  Change add;
  add.adds = true;
  add.record = record;
  v1::LogReplica* const replica = add.record.add_replicas();
  replica->set_node(store->node);
  replica->set_incarnation(store->incarnation);
  add.then = [log = store->log](Shard& shard) { shard.AddReplica(log); };
  add.counter = &counters_.log_replicas_added;
  return add;
}

void LogKeeper::EndChange(const Shard& shard) {
  MutexLock lock(mutex_);
  if (Kept* const kept = Find(shard)) {
    kept->changing = false;
  }
}

// The coordinator is asked whether they are gone: what is known here of the stores may be older
// than the record.
void LogKeeper::BeginAnew(const OwnedShard& owned) {
  context_.coordinator.List("nodes/", [self = shared_from_this(),
                                       owned](const StatusOr<std::vector<KeyValue>>& nodes) {
    const ShardId id = owned.shard->id();
    v1::ShardRecord placed;
    PlaceNewLog(self->context_.logs.Stores(), self->context_.log_replicas, id, placed);
    if (!nodes.ok() || !CompareLogs(id, owned.record, *nodes, /*silent_too=*/false).ok() ||
        placed.replicas_size() == 0) {
      return self->EndChange(*owned.shard);
    }
    spdlog::warn("shard {}: every store of its log has lost it: it begins anew from memory", id);
    ++self->counters_.logs_begun_anew;
    owned.shard->End();
    self->WriteAnew(owned, 0);
  });
}

// Stores that have just started are not heard yet.
int LogKeeper::LeastStores(uint64_t attempt) const {
  const auto takers = std::ranges::count_if(
      context_.logs.Stores(), [](const LogNodes::Store& store) { return !store.draining; });
  const auto wanted = std::min<int64_t>(context_.log_replicas, takers);
  return attempt < kPatientAttempts ? std::max(1, static_cast<int>(wanted)) : 1;
}

// For as long as it takes: there is no way back.
void LogKeeper::WriteAnew(const OwnedShard& owned, uint64_t attempt) {
  {
    MutexLock lock(mutex_);
    if (Find(*owned.shard) == nullptr) {
      return;  // another front-end's
    }
  }
  Change change;
  change.record = owned.record;
  change.record.clear_replicas();
  change.record.set_epoch(owned.record.epoch() + 1);
  const auto pieces = [shard = owned.shard, epoch = change.record.epoch(),
                       first = attempt * kSequencesPerAttempt + 1] {
    return PiecesOf(shard, epoch, first);
  };
  WriteNewLog(context_, owned.shard->id(), change.record, LeastStores(attempt), pieces,
              [self = shared_from_this(), owned, change,
               attempt](const StatusOr<v1::ShardRecord>& record) mutable {
                if (!record.ok()) {
                  return self->context_.executor.PostAfter(
                      kRetry, [self, owned, attempt] { self->WriteAnew(owned, attempt + 1); });
                }
                change.record = *record;
                change.then = [](Shard&) {};
                self->Make(owned, change);
              });
}

void LogKeeper::Make(const OwnedShard& owned, const Change& change) {
  const std::string key = ShardKey(owned.shard->id());
  context_.coordinator.Commit(
      {{{key, owned.revision}}, {{key, change.record.SerializeAsString()}}, {}},
      [self = shared_from_this(), owned, change](const StatusOr<TransactionReply>& reply) {
        if (!reply.ok()) {
          self->MakeLater(owned, change);
        } else if (reply->succeeded) {
          self->OnChanged(*owned.shard, change, reply->revision);
        } else {
          self->Ask(owned, change);
        }
      });
}

// The effect is unknown: the same change is tried until it is known.
void LogKeeper::MakeLater(const OwnedShard& owned, const Change& change) {
  context_.executor.PostAfter(
      kRetry, [self = shared_from_this(), owned, change] { self->Make(owned, change); });
}

// The record is not what this owner has last written: by a change of its own whose answer did not
// come, or since there is another owner.
void LogKeeper::Ask(const OwnedShard& owned, const Change& change) {
  context_.coordinator.Get(
      ShardKey(owned.shard->id()),
      [self = shared_from_this(), owned, change](const StatusOr<std::optional<KeyValue>>& found) {
        if (!found.ok()) {
          self->MakeLater(owned, change);
        } else if (found->has_value() && (*found)->value == change.record.SerializeAsString()) {
          self->OnChanged(*owned.shard, change, (*found)->revision);
        } else {
          owned.shard->Fence(MakeError(ErrorReason::kStaleEpoch,
                                       "another front-end has changed the shard's record"));
        }
      });
}

void LogKeeper::OnChanged(Shard& shard, const Change& change, uint64_t revision) {
  // Before another change of the same shard may be found.
  change.then(shard);
  MutexLock lock(mutex_);
  Kept* const kept = Find(shard);
  if (kept == nullptr || shard.failed()) {
    return;  // it is dropped as soon as the new record is heard of
  }
  kept->changing = false;
  kept->owned.record = change.record;
  kept->owned.revision = revision;
  kept->silent.clear();
}

}  // namespace vswap
