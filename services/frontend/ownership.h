#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "services/frontend/context.h"
#include "services/frontend/log_keeper.h"
#include "services/frontend/shard_table.h"
#include "services/frontend/shard_taking.h"

namespace vswap {

// Who owns which shard, as far as is known.
struct ShardMap {
  std::vector<Epoch> epochs;            // one a shard
  std::vector<std::string> front_ends;  // HOST:PORT of those that serve
  std::vector<uint32_t>
      owners;  // one a shard: 1 + index of the owner; 0: none. Empty: this one all
};

// What a front-end is among others.
struct Membership {
  std::string address;   // HOST:PORT of its services
  uint64_t process = 0;  // random, of this run
  std::string machine;
  std::string zone;
  Duration lease = std::chrono::seconds(2);
  Duration look = std::chrono::milliseconds(200);
};

// Takes shards, gives them up and loses them. Alone, a front-end takes all once. Among others it
// keeps a record under a lease, and the shards are spread over all that have one (AssignShards):
//
//   nobody's, or of one without a record ── take (TakeShard) ──> served ── wanted elsewhere ──>
//   stop
//                    ^                                             │             │ idle
//                    │                                   fenced, or the record   │
//                    └── given back: no owner in the record <──── says so ───────┘
//
// A shard is taken only in a transaction that finds its former owner's record as it was seen:
// absent, or of another process. An owner that lost its lease goes on, and proves its loads (see
// Validity) until it has a record again and has seen that its shards are still its own.
//
// Thread-safe. What it is given outlives it; callbacks hold it.
class Ownership : public std::enable_shared_from_this<Ownership> {
 public:
  struct Options {
    std::string id;
    std::optional<Membership> membership;  // none: alone
    // Runs once a shard was read and before it is served, which a failure prevents.
    std::function<void(const std::shared_ptr<Shard>&, std::function<void(Status)>)> prepare;
    // A shard is served from now on; on any thread.
    std::function<void(const std::shared_ptr<Shard>&)> on_taken;
  };

  Ownership(Options options, const TakingContext& taking, ShardTable& shards, Validity& validity,
            FrontEndCounters& counters);

  // Begins; `done` once: when the shards that can be had are served, or with the first failure.
  // Among others it goes on trying, whatever the answer.
  void Start(std::function<void(Status)> done);
  // Takes nothing more, and gives the lease up; `done` when that is done or has failed.
  void Stop(std::function<void(Status)> done);
  // For an operator: a shard of this front-end that cannot be taken, since no replica of its log is
  // left, begins anew without pages (Shard::GivenUp); `done` when it is served. `silent_too`: also
  // where a store is registered that has one: it does not answer, its disk fails, or it is damaged.
  // `find_end` tells the id from which on there are no spaces; asked while the shard is nobody's.
  //
  // FAILED_PRECONDITION: it is served, would be given up for a store that may come back, or was
  // given up and waits for a store. ABORTED: another front-end's, or it is being taken: try again.
  // RESOURCE_EXHAUSTED: kTimesGivenUpMax. INVALID_ARGUMENT: no such shard.
  void GiveUpPages(ShardId id, bool silent_too,
                   const std::function<void(Callback<SpaceId>)>& find_end,
                   std::function<void(Status)> done);
  ShardMap Map() const;
  // Whether every shard has an owner that lives.
  bool AllOwned() const;
  // The others that serve.
  std::vector<v1::FrontEndRecord> Others() const;
  bool among_others() const { return options_.membership.has_value(); }
  // Shards of this front-end whose log has fewer full replicas than are wanted.
  size_t shards_degraded() const { return keeper_->degraded(); }
  // Of these, those that only this process has: see LogKeeper.
  size_t shards_without_log() const { return keeper_->without_log(); }
  // Shards that the records give to this front-end and that it does not serve.
  size_t shards_waiting() const;

 private:
  struct Known {
    v1::ShardRecord record;
    uint64_t revision = 0;
  };
  struct Live {
    v1::FrontEndRecord record;
    uint64_t revision = 0;
  };
  struct Batch {
    std::vector<ShardId> ids;
    Transaction transaction;
    std::vector<v1::ShardRecord> records;
  };
  class Round;

  std::string OwnKey() const { return "frontends/" + options_.id; }
  // The live owner's name, or nothing.
  std::string LiveOwner(const v1::ShardRecord& record) const REQUIRES(mutex_);

  void TakeAll(std::function<void(Status)> done);
  void Take(const std::vector<ShardId>& ids, std::function<void(Status)> done);
  StatusOr<Batch> MakeBatch(const std::vector<ShardId>& ids) REQUIRES(mutex_);
  void OnClaimed(ShardId id, OwnedShard owned, std::function<void(Status)> done);
  void Serve(const OwnedShard& owned, std::function<void(Status)> done);
  Status OnStarted(const std::shared_ptr<Shard>& shard);
  // What came of reading the shard's log.
  void NoteTaken(ShardId id, Epoch epoch, const Status& status);
  // Whether a failed taking means that no log is left.
  static bool IsLogLost(const Status& status);
  Status CheckGiveUp(ShardId id) REQUIRES(mutex_);
  // `fail` where it is not given up; else as OnClaimed.
  void CommitGivenUp(ShardId id, v1::ShardRecord record, SpaceId spaces_end,
                     std::vector<Transaction::Compare> unchanged,
                     const std::function<void(Status)>& done,
                     const std::function<void(Status)>& fail);
  void EndTaking(ShardId id, const Status& status);
  void OnFenced(const std::shared_ptr<Shard>& shard, const Status& why);
  // It is served here no more.
  void Drop(const Shard& shard);

  void Join();
  void PutRecord(const Lease& lease);
  void PutRecordLater(const Lease& lease);
  void PutRecordOver(uint64_t revision, const Lease& lease);
  void DropLease(LeaseId lease);
  void OnRecordPut(const Lease& lease, uint64_t revision);
  void JoinLater();
  void OnLeaseLost(LeaseId lease, const Status& why);
  void WatchAll();
  void ApplyShards(const std::vector<WatchEvent>& events);
  void ApplyFrontEnds(const std::vector<WatchEvent>& events, bool all);
  void ApplyShard(ShardId id, const WatchEvent& event, std::vector<std::shared_ptr<Shard>>* lost)
      REQUIRES(mutex_);
  void LookAfter(Duration delay);
  void Look();
  // Whether the shard's log is gone and its owner, which has the table, may come back yet. Once a
  // look.
  bool MayBeInMemory(ShardId id, const std::vector<LogNodes::Store>& stores) REQUIRES(mutex_);
  void Release(const std::shared_ptr<Shard>& shard);
  void GiveBack(const OwnedShard& owned);

  const Options options_;
  TakingContext taking_;  // fixed once constructed
  ShardTable& shards_;
  Validity& validity_;
  FrontEndCounters& counters_;
  std::shared_ptr<LogKeeper> keeper_;
  mutable Mutex mutex_;
  std::map<ShardId, Known> known_ GUARDED_BY(mutex_);
  std::map<std::string, Live> live_ GUARDED_BY(mutex_);
  std::set<ShardId> changing_ GUARDED_BY(mutex_);     // being taken or given up
  std::map<ShardId, int> pauses_ GUARDED_BY(mutex_);  // looks until a failed taking is tried again
  // Why the last taking failed, and under which epoch.
  std::map<ShardId, std::pair<Epoch, Status>> not_taken_ GUARDED_BY(mutex_);
  std::atomic<bool> waits_told_{false};                // for another process of the id
  std::map<ShardId, Status> told_ GUARDED_BY(mutex_);  // how it ended, as logged
  // Looks, once it has joined again, until others' shards may be taken: where all were cut off from
  // the coordinator, all come back.
  int settling_ GUARDED_BY(mutex_) = 0;
  std::map<ShardId, int> only_in_memory_ GUARDED_BY(mutex_);  // looks, see MayBeInMemory
  LeaseId lease_ GUARDED_BY(mutex_) = 0;
  bool joined_before_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::function<void(Status)> started_ GUARDED_BY(mutex_);  // to be told; null: told
  std::vector<std::unique_ptr<WatchHandle>> watches_ GUARDED_BY(mutex_);
};

}  // namespace vswap
