#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "services/frontend/context.h"
#include "services/frontend/shard_taking.h"

namespace vswap {

// Keeps the logs of the shards that a front-end owns on as many stores as are wanted: a replica
// that does not accept writes for a while is removed, another one is added and filled from the
// owner's memory, and one on a store that drains is replaced. Every change is made in the
// coordinator's record first; without the coordinator nothing changes, and a shard with a lost
// replica waits.
//
// Where the stores of all full replicas have come back without them, this process has the only
// table. The shard ends, so that nothing changes it any more; what counts in it is written to a new
// log under the next epoch; the record names that log; and whoever the record gives the shard to
// takes it, as any other (Ownership, TakeShard). What was under way was not acknowledged.
//
// Looks when it is told to. Thread-safe; what the context names outlives it, and callbacks hold it.
class LogKeeper : public std::enable_shared_from_this<LogKeeper> {
 public:
  // Looks in a row that a replica may keep one write waiting.
  static constexpr int kSilentLooksMax = 10;
  // Replicas that are filled at a time; and shards whose logs begin anew at a time.
  static constexpr size_t kFillingMax = 8;
  // Tries to write such a log to as many stores as are wanted; later fewer will do.
  static constexpr uint64_t kPatientAttempts = 10;

  explicit LogKeeper(const TakingContext& context, FrontEndCounters& counters)
      : context_(context), counters_(counters) {}

  void Add(OwnedShard owned);
  // Forgets a shard that is lost.
  void Remove(const Shard& shard);
  // Hands over what is known of a shard that is given up. Empty while its record is being changed,
  // or while only this process has it.
  std::optional<OwnedShard> Release(const Shard& shard);
  void Look();
  // Null: none of this number.
  std::shared_ptr<Shard> Find(ShardId id) const;
  // Shards whose log has fewer full replicas than are wanted.
  size_t degraded() const;
  // Of these, those whose full replicas are all gone.
  size_t without_log() const;

 private:
  struct Kept {
    OwnedShard owned;
    bool changing = false;
    bool degraded = false;     // full replicas: too few are heard, or two are on one machine
    bool without_log = false;  // they are all gone
    std::map<TableLog*, std::pair<Sequence, int>> silent;  // the write it keeps waiting, looks
    // The last one that is heard and let a write wait for too long, until there are enough others.
    NodeId refused = 0;
  };
  struct Change {
    v1::ShardRecord record;
    std::function<void(Shard&)> then;  // once the record says so
    bool adds = false;                 // a replica that is to be filled
    std::atomic<uint64_t>* counter = nullptr;
  };
  static Change Without(const Kept& kept, int replica, TableLog* log);
  // A store for one more replica: one that refuses writes, as its disk is full or damaged, only
  // where there is no other. It is heard all the time.
  static std::optional<LogNodes::Store> ChooseFor(const Kept& kept,
                                                  const std::vector<LogNodes::Store>& stores);
  void EndChange(const Shard& shard);
  void BeginAnew(const OwnedShard& owned);
  void WriteAnew(const OwnedShard& owned, uint64_t attempt);
  // How many stores are to take a new log.
  int LeastStores(uint64_t attempt) const;
  // Null: another object is kept under its number, or none.
  Kept* Find(const Shard& shard) REQUIRES(mutex_);
  // `filled_now`: shards with a replica that is being filled.
  std::optional<Change> FindChange(Kept& kept, const std::vector<LogNodes::Store>& stores,
                                   size_t filled_now) REQUIRES(mutex_);
  void NoteSilence(Kept& kept, const std::vector<Shard::LogState>& logs) REQUIRES(mutex_);
  void Make(const OwnedShard& owned, const Change& change);
  void MakeLater(const OwnedShard& owned, const Change& change);
  void Ask(const OwnedShard& owned, const Change& change);
  void OnChanged(Shard& shard, const Change& change, uint64_t revision);

  const TakingContext context_;
  FrontEndCounters& counters_;
  mutable Mutex mutex_;
  std::map<ShardId, Kept> kept_ GUARDED_BY(mutex_);
};

}  // namespace vswap
