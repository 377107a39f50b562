#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "services/cluster/coordinator.h"
#include "services/frontend/check.h"
#include "services/frontend/context.h"
#include "services/frontend/entry_path.h"
#include "services/frontend/load_path.h"
#include "services/frontend/log_nodes.h"
#include "services/frontend/ownership.h"
#include "services/frontend/peers.h"
#include "services/frontend/placement.h"
#include "services/frontend/redundancy_keeper.h"
#include "services/frontend/shard_table.h"
#include "services/frontend/store_path.h"
#include "services/frontend/validity.h"
#include "services/frontend/writeback.h"

namespace vswap {

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
  uint64_t attempt = 0;                // one that is sent again gets the same token; 0: none
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
    Peers* peers = nullptr;                                      // null: none
    // For the lease. Null: the steady one.
    const Clock* clock = nullptr;
    RedundancyKeeper::Options redundancy = {};
    // Each node is compared with the tables once in this time, and damage looked for; spread over
    // it, one node after the other, at most redundancy.pages_per_second records a second. 0: never.
    Duration compare_every{};
    // Name lengths, as in the protocol.
    static constexpr size_t kNameBytesMax = 255;
  };

  FrontEnd(Options options, Coordinator& coordinator, LogNodes& logs, Placement placement,
           Executor& executor);
  // The table logs are in this process, on each of them one replica.
  FrontEnd(Options options, Coordinator& coordinator, std::vector<TableLog*> logs,
           Placement placement, Executor& executor);
  ~FrontEnd();

  // Takes its shards over (see Ownership) and serves; then compares tables and nodes in the
  // background (reconciled()).
  // Alone it owns all shards.
  void Start(std::function<void(Status)> done) { Join(std::nullopt, std::move(done)); }
  // Among others it shares them, and serves what it has before `done`.
  void Join(std::optional<Membership> membership, std::function<void(Status)> done);
  // Refuses requests from now on. Changes under way come to their end: poll Idle.
  void Stop();
  bool Idle() const;
  // Gives the lease up, after Stop: the others take over at once.
  void Leave(std::function<void(Status)> done);
  // Whether every node that answers was compared with the tables since they were taken, and since
  // it was started.
  bool reconciled() const;
  // Comparisons of nodes that answer, since shards were taken or a node has started, that have not
  // ended: what they will find missing or damaged is not among degraded_pages() yet.
  size_t comparisons_due() const;

  void Open(OpenCall call, Callback<OpenReply> done);
  // See Ownership::GiveUpPages.
  void GiveUpPages(ShardId shard, bool silent_too, std::function<void(Status)> done);
  // Detaches: the token is fenced, the pages stay.
  void Close(SpaceId space, Token token, std::function<void(Status)> done);
  void ListSpaces(Callback<std::vector<SpaceInfo>> done);
  StatusOr<ShardMap> GetShardMap() const;
  // For the other front-ends: see vswap.v1.PeerService.
  void RaiseToken(const v1::SpaceRecord& space, Callback<std::vector<ShardEpoch>> done);

  void Store(StoreCall call, MutationDone done);
  void Load(LoadCall call, LoadDone done);
  void Free(FreeCall call, MutationDone done);
  void Prefetch(LoadCall call, std::function<void(Status)> done);
  void Allocate(AllocateCall call, MutationDone done);
  void Duplicate(DuplicateCall call, MutationDone done);
  void Extents(const RequestHeader& header, Extent extent,
               const Callback<std::vector<BackingRun>>& done) const;

  // Moves every page of the tier's nodes to the other tier, as far as there is room; `done` gets
  // the pages that stayed. Works also after Stop.
  void MoveAll(Tier from, Tier to, std::function<void(uint64_t left)> done);

  // Compares tables, counters, logs and inventories with each other. UNAVAILABLE: not yet, the
  // reconciliation after the start is under way, or another check.
  void Check(Callback<CheckReport> done);

  std::map<SpaceId, SpaceCounts> Counts() const;
  const FrontEndCounters& counters() const { return counters_; }
  uint64_t stores_overtaken() const;
  // Shards served here whose log has fewer full replicas than are wanted.
  size_t shards_degraded() const { return serving_ ? ownership_->shards_degraded() : 0; }
  // Shards that this front-end is to serve and does not: it is taking them, or cannot.
  size_t shards_waiting() const { return serving_ ? ownership_->shards_waiting() : 0; }
  // Pages of these shards that one loss more may cost: with fewer lasting copies than are wanted,
  // with one on a node that does not answer, or with one that was found missing.
  uint64_t degraded_pages() const;
  // What this front-end knows of the node, and of the pages of these sets.
  NodeUse UseOf(NodeId node, const std::vector<SetId>& sets) const;
  // The other front-ends, and the way to them; null: there are none.
  std::vector<v1::FrontEndRecord> Others() const;
  Peers* peers() const { return options_.peers; }
  // A node was started again on its data: what it has lost meanwhile is found and made anew.
  void CompareWith(NodeId node);
  // It has started so long ago, before this front-end did: what it has of shards that are taken
  // soon after that is read as well.
  void NoteStart(NodeId node, Duration ago);
  const Repairs& repairs() const { return repairs_; }
  // Why degraded pages are not moved now; empty: nothing keeps them.
  std::string WaitsFor() const { return redundancy_ == nullptr ? "" : redundancy_->WaitsFor(); }
  const Placement& placement() const { return placement_; }
  // Nodes and sets may join at any time.
  Placement& placement() { return placement_; }
  // Batches of deletes that nodes have not answered.
  size_t releases_pending() const { return releaser_.pending(); }
  uint64_t releases_dropped() const { return releaser_.dropped(); }
  // Those served here, in order.
  std::vector<std::shared_ptr<Shard>> shards() const { return shards_.All(); }
  const Ownership& ownership() const { return *ownership_; }

 private:
  FrontEnd(Options options, Coordinator& coordinator, std::unique_ptr<LogNodes> own_logs,
           LogNodes* logs, Placement placement, Executor& executor);

  struct Opening;
  void StartWith(const v1::ClusterRecord& cluster, std::optional<Membership> membership,
                 std::function<void(Status)> done);
  void OnStarted(const Status& status, const std::function<void(Status)>& done);
  void OnTaken(const std::shared_ptr<Shard>& shard);
  // A node that answers but cannot be compared so often holds up no others any more.
  static constexpr int kUrgentTries = 2;
  // Of tables with nodes.
  struct Comparison {
    // In the order of their turns. kListed: since shards were taken, or a node has started. kRead:
    // since a node has started, whose records may have been damaged meanwhile. kTurn: nothing has
    // happened.
    enum class Kind { kListed, kRead, kTurn };
    std::vector<std::shared_ptr<Shard>> shards;
    std::vector<NodeId> nodes;
    Kind kind = Kind::kListed;
    int failures = 0;  // in a row

    // Each gives way to those of a kind before it; one that fails again and again has its turn
    // among the last.
    Kind turn() const { return failures < kUrgentTries ? kind : Kind::kTurn; }
    // Until one of the kind has ended nobody knows whether copies are missing.
    static bool IsDue(Kind kind) { return kind != Kind::kTurn; }
  };
  void ReconcileTaken();
  void ReconcileLater();
  void PostReconcileLater() REQUIRES(mutex_);
  void CompareLater(NodeId node, Comparison::Kind kind);
  // The one that waits for its turn, which it keeps; a new one has no shards yet.
  Comparison& Later(NodeId node, Comparison::Kind kind) REQUIRES(mutex_);
  void Compare(Comparison comparison);
  // The node behind this one in turn, once its time has come.
  void CompareNext(NodeId last);
  bool Answers(const Comparison& comparison) const;
  bool MayBegin(const Comparison& comparison) const;
  // Whether there is something that one with this turn gives way to.
  bool HasBefore(Comparison::Kind turn) const;
  // Before a shard is served.
  void Prepare(const Shard& shard, std::function<void(Status)> done);
  // Learns of all spaces that there are.
  void LearnAll(std::function<void(Status)> done);
  // Of all spaces that there are.
  void FindTokens(Callback<std::vector<TokenRecord>> done);
  // Learns of a space, unless it knows a later record.
  void Learn(const v1::SpaceRecord& record);
  void TryOpen(std::shared_ptr<Opening> opening);
  // The id of the space that is made next, and the record's revision.
  struct NextSpace {
    SpaceId id = 0;
    uint64_t revision = 0;
  };
  void FindNextSpace(Callback<NextSpace> done);
  void CommitOpen(std::shared_ptr<Opening> opening, uint64_t space_revision, std::string space,
                  uint64_t next_revision);
  void Raise(const std::shared_ptr<Opening>& opening);
  // NOT_OWNER: it is not served here.
  StatusOr<std::shared_ptr<Shard>> FindShard(ShardId id) const;
  StatusOr<SpaceInfo> FindSpace(SpaceId space) const;
  // The space of a valid request.
  StatusOr<SpaceInfo> CheckExtents(const RequestHeader& header, const std::vector<Extent>& extents,
                                   uint32_t pages_max) const;

  const Options options_;
  Coordinator& coordinator_;
  const std::unique_ptr<LogNodes> own_logs_;  // null: another's
  LogNodes& logs_;
  Placement placement_;
  Executor& executor_;
  FrontEndCounters counters_;
  Releaser releaser_;
  Repairs repairs_;
  const std::shared_ptr<OverlapGate> gate_;
  ShardTable shards_;
  Validity validity_;
  const FrontEndContext context_;

  std::shared_ptr<Ownership> ownership_;          // fixed once started; null before
  std::shared_ptr<Writeback> writeback_;          // as well; null: off
  std::shared_ptr<RedundancyKeeper> redundancy_;  // as well; null: alone, with nodes of its own
  mutable Mutex mutex_;
  struct Space {
    SpaceInfo info;
    Token token = 0;
  };
  std::map<SpaceId, Space> spaces_ GUARDED_BY(mutex_);
  // Taken, and not yet compared with the nodes.
  std::vector<std::shared_ptr<Shard>> taken_ GUARDED_BY(mutex_);
  std::map<NodeId, TimePoint> starts_ GUARDED_BY(mutex_);
  std::optional<Comparison::Kind> reconciling_ GUARDED_BY(mutex_);  // what is under way
  bool reconciled_ GUARDED_BY(mutex_) = false;
  std::vector<Comparison> later_ GUARDED_BY(mutex_);  // in the order in which they came
  bool waiting_ GUARDED_BY(mutex_) = false;           // for them
  std::atomic<bool> serving_{false};
  std::atomic<bool> checking_{false};
};

}  // namespace vswap
