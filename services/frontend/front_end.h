#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "services/cluster/coordinator.h"
#include "services/cluster/table_log.h"
#include "services/frontend/check.h"
#include "services/frontend/context.h"
#include "services/frontend/entry_path.h"
#include "services/frontend/load_path.h"
#include "services/frontend/placement.h"
#include "services/frontend/shard.h"
#include "services/frontend/store_path.h"
#include "services/frontend/writeback.h"

namespace vswap {

namespace v1 {
class ShardRecord;
}

struct SpaceInfo {
  SpaceId id = 0;
  std::string name;
  uint64_t pages = 0;
  std::string holder;  // empty: not attached
  SpaceKind kind = SpaceKind::kDevice;
};

struct OpenCall {
  std::string name;
  std::string holder;
  bool take_over = false;
  uint64_t create_pages = 0;           // 0: do not make the space
  SpaceKind kind = SpaceKind::kUnset;  // what it must be; unset: any, and a device space is made
};

struct ShardMap {
  std::vector<Epoch> epochs;  // one a shard
};

struct OpenReply {
  SpaceId space = 0;
  Token token = 0;
  uint64_t pages = 0;
  ShardMap shard_map;
  SpaceKind kind = SpaceKind::kDevice;
};

// Consecutive slots of the same backing (see SameBacking).
struct BackingRun {
  uint32_t pages = 0;
  Entry first;
  bool free = false;  // of an allocated space: no entries
};

// The front-end without gRPC: spaces, shards, and the calls of vswap.v1.FrontEndService.
//
// Thread-safe once started; callbacks run exactly once, on any thread. Everything it is given
// outlives it, and it must be destroyed after the executor was stopped or has nothing of it left.
class FrontEnd {
 public:
  struct Options {
    std::string id = "frontend-1";
    uint32_t shard_count = 64;  // of a new cluster; an existing one keeps its own
    std::optional<Writeback::Options> writeback = std::nullopt;  // none: it is off
    // Must hold for every shard that is taken: what makes this the front-end that may.
    std::vector<Transaction::Compare> taken_under = {};
    // Somebody else owns a shard; on any thread. Null: nobody is told.
    std::function<void(const Status&)> on_fenced = nullptr;
    // Name lengths, as in the protocol.
    static constexpr size_t kNameBytesMax = 255;
  };

  // The replicas of a shard's table log, which outlive the front-end; of a new shard (without
  // replicas) it names them in the record.
  using LogsOf = std::function<StatusOr<std::vector<TableLog*>>(v1::ShardRecord& shard)>;

  FrontEnd(Options options, Coordinator& coordinator, LogsOf logs_of, Placement placement,
           Executor& executor);
  // All shards' logs are the same.
  FrontEnd(Options options, Coordinator& coordinator, std::vector<TableLog*> log_replicas,
           Placement placement, Executor& executor);
  ~FrontEnd();

  // Takes every shard over (a new epoch, the log sealed and read) and serves; then compares tables
  // and nodes in the background (reconciled()).
  void Start(std::function<void(Status)> done);
  // Refuses requests from now on. Changes under way come to their end: poll Idle.
  void Stop();
  bool Idle() const;
  bool reconciled() const { return reconciled_; }

  void Open(OpenCall call, Callback<OpenReply> done);
  // Detaches: the token is fenced, the pages stay.
  void Close(SpaceId space, Token token, std::function<void(Status)> done);
  void ListSpaces(Callback<std::vector<SpaceInfo>> done);
  StatusOr<ShardMap> GetShardMap() const;

  void Store(StoreCall call, MutationDone done);
  void Load(LoadCall call, LoadDone done);
  void Free(FreeCall call, MutationDone done);
  void Prefetch(LoadCall call, std::function<void(Status)> done);
  void Allocate(AllocateCall call, MutationDone done);
  void Duplicate(DuplicateCall call, MutationDone done);
  StatusOr<std::vector<BackingRun>> Extents(const RequestHeader& header, Extent extent) const;

  // While on, a load is answered only after a later log write was accepted: the proof that nobody
  // owns the shard since. For an owner that cannot tell from the coordinator; what changes needs a
  // log write anyway.
  void ProveLoads(bool on) { prove_loads_ = on; }

  // Moves every page of the tier's nodes to the other tier, as far as there is room; `done` gets
  // the pages that stayed. Works also after Stop.
  void MoveAll(Tier from, Tier to, std::function<void(uint64_t left)> done);

  // Compares tables, counters, logs and inventories with each other. UNAVAILABLE: not yet, the
  // reconciliation after the start is under way, or another check.
  void Check(Callback<CheckReport> done);

  std::map<SpaceId, SpaceCounts> Counts() const;
  const FrontEndCounters& counters() const { return counters_; }
  uint64_t stores_overtaken() const;
  const Placement& placement() const { return placement_; }
  // Nodes and sets may join at any time.
  Placement& placement() { return placement_; }
  // Batches of deletes that nodes have not answered.
  size_t releases_pending() const { return releaser_.pending(); }
  // For checks: the shards, in order.
  const std::vector<std::shared_ptr<Shard>>& shards() const { return shards_; }

 private:
  struct Opening;
  struct Taking;
  void TakeShards(uint32_t shard_count, std::function<void(Status)> done);
  void TakeSome(const std::shared_ptr<Taking>& taking, ShardId begin);
  void StartShards(std::function<void(Status)> done);
  void ReadShard(std::shared_ptr<Shard> shard, std::string cursor,
                 std::function<void(Status)> done);
  void TryOpen(std::shared_ptr<Opening> opening);
  void CommitOpen(std::shared_ptr<Opening> opening, uint64_t space_revision, std::string space,
                  uint64_t next_revision);
  void RaiseEverywhere(SpaceId space, Token token, std::function<void(Status)> done);
  StatusOr<SpaceInfo> FindSpace(SpaceId space) const;
  // The space of a valid request.
  StatusOr<SpaceInfo> CheckExtents(const RequestHeader& header, const std::vector<Extent>& extents,
                                   uint32_t pages_max) const;

  const Options options_;
  Coordinator& coordinator_;
  const LogsOf logs_of_;
  Placement placement_;
  Executor& executor_;
  FrontEndCounters counters_;
  Releaser releaser_;
  const std::shared_ptr<OverlapGate> gate_;
  std::atomic<bool> prove_loads_{false};
  const FrontEndContext context_;

  std::vector<std::shared_ptr<Shard>> shards_;  // fixed once started
  std::shared_ptr<Writeback> writeback_;        // as well; null: off
  mutable Mutex mutex_;
  std::map<SpaceId, SpaceInfo> spaces_ GUARDED_BY(mutex_);
  std::atomic<bool> started_{false};  // from then on the shards can be looked at
  std::atomic<bool> serving_{false};
  std::atomic<bool> reconciled_{false};
  std::atomic<bool> checking_{false};
};

}  // namespace vswap
