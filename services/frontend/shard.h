#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "services/cluster/table_log.h"
#include "services/common/executor.h"
#include "services/common/mutex.h"
#include "services/frontend/entry_allocator.h"
#include "services/frontend/entry_table.h"
#include "services/frontend/request_windows.h"

namespace vswap {

// A record on the nodes of a set that no entry names any more.
struct Retired {
  SetId set = 0;
  PageName name;
};

// A slot whose change has begun: the version it will have and what was behind it then.
struct BegunSlot {
  Offset offset = 0;
  Version version = 0;
  Entry current;
  PageCode refused = PageCode::kUnset;  // else the change has not begun, and this is why
};

// Which slots an allocation may take.
struct AllocateShape {
  uint32_t order = 0;
  uint32_t count = 0;
  uint64_t space_pages = 0;
  uint32_t shard_count = 0;
};

// One shard of the table, as its owner sees it: entries, the log that makes changes count, and the
// windows that make retries harmless. Every change takes the same way:
//
//   Begin  (a version is issued; the slot counts one more change under way)
//   Enqueue (the new word takes its place in the log's queue, unless a later change is there
//   already)
//   ... every replica of the log accepts it ...
//   publish (loads see it; the old backing is handed to whoever enqueued, to be deleted)
//
// The log's replicas may come and go: who owns the shard decides it (LogKeeper), by changing the
// coordinator's record first. A replica that joins is filled from the table, in pieces that go with
// the writes.
//
// One mutex guards it all, so that token, window, version order and log order are one order. It is
// held for table work only, never for I/O. Design.md names the cluster as the unit of locking: a
// shard-wide lock was chosen since every request also needs the shard's token, window and log queue
// at the same instant.
//
// Thread-safe. Callbacks run without the lock, on the thread that completed the log write. When the
// log refuses the epoch the shard stops: all waiting requests fail with kNotServing, and so do
// later ones.
class Shard : public std::enable_shared_from_this<Shard> {
 public:
  struct Options {
    ShardId id = 0;
    Epoch epoch = 0;
    Version versions_block = 1 << 20;          // reserved in the log at a time
    Version versions_limit = kVersionsPerLog;  // none from it on is issued
    // What spaces below it have no word for is lost, not free: see ShardRecord.
    SpaceId lost_spaces_end = 0;
    Duration retry_min = std::chrono::milliseconds(5);
    Duration retry_max = std::chrono::seconds(1);
    // Told when a log refuses the epoch: somebody else owns the shard. Null: nobody is.
    std::function<void(const Status&)> on_fenced = nullptr;
  };

  static constexpr Sequence kSequenceSpanMax = RequestWindows::kSequenceSpanMax;

  // All replicas are full.
  Shard(Options options, std::vector<TableLog*> replicas, Executor& executor);

  // Fills the table from the log's end and records. Before Start, from one thread.
  void Restore(const LogEnd& end);
  Status Restore(const SlotRecord& record);
  Status Restore(const RequestRecord& record);
  // Begins to serve: the first log write of this epoch reserves versions. `done` runs when it
  // counts.
  void Start(std::function<void(Status)> done);
  // Refuses new requests; changes that are enqueued go on.
  void Stop();
  // Whether no change is under way.
  bool Idle() const;
  // Whether it was fenced or given up.
  bool failed() const;
  // Drops what waits for the log, unanswered, when the process ends: it holds the operations, and
  // they hold the shard. Nobody is told.
  void Discard();

  // What these have in common: epoch, token, floor and window are checked, and the slots begun.
  // Null where the request must not run: then `done` has been or will be called with the refusal or
  // with the first arrival's answer. In allocated spaces a change of references (free, duplicate)
  // has its slots for itself: UNAVAILABLE where one of them is being changed, and for whoever comes
  // meanwhile.
  //
  // A store: one begun slot a page; in allocated spaces those without an entry (NOT_FOUND) or with
  // several references (FAILED_PRECONDITION) have not begun.
  std::shared_ptr<Request> AdmitStore(const RequestHeader& header,
                                      const std::vector<Extent>& extents, SpaceKind kind,
                                      std::vector<BegunSlot>* slots, MutationDone done);
  // A free: of a device space every slot of the extents that holds something or is being changed;
  // of an allocated space every entry.
  std::shared_ptr<Request> AdmitFree(const RequestHeader& header,
                                     const std::vector<Extent>& extents, SpaceKind kind,
                                     std::vector<BegunSlot>* slots, MutationDone done);
  // A new reference to each entry: one begun slot a page, those without an entry (NOT_FOUND) or
  // without room for a reference (RESOURCE_EXHAUSTED) have not begun.
  std::shared_ptr<Request> AdmitDuplicate(const RequestHeader& header,
                                          const std::vector<Extent>& extents,
                                          std::vector<BegunSlot>* slots, MutationDone done);
  // An allocation: the slots of the extents found, at most shape.count of them.
  // RESOURCE_EXHAUSTED: none.
  std::shared_ptr<Request> AdmitAllocate(const RequestHeader& header, const AllocateShape& shape,
                                         std::vector<BegunSlot>* slots, MutationDone done);
  // Keeps the answer for duplicates and gives it to all who wait.
  void Finish(const std::shared_ptr<Request>& request, MutationResult result);

  // What waits for a piece of the log. `retired`: records that no word names any more: old backings
  // of the words that were published, and the own ones of words that were overtaken.
  using Published = std::function<void(Status, std::vector<Retired> retired)>;

  // Puts words of begun slots into the log's queue; those that a later change has overtaken are
  // left out. They settle themselves. FENCED where the token is no longer the space's: then nothing
  // was enqueued or settled, and `published` does not run. Else it runs when these words and
  // everything before them count, so an overtaken store is answered after what overtook it.
  // `answer` is logged in the same write.
  Status Enqueue(SpaceId space, Token token, const std::vector<SlotRecord>& records,
                 Published published, std::optional<RequestRecord> answer = std::nullopt);
  // Settles begun slots that will not be enqueued.
  void Abandon(SpaceId space, const std::vector<BegunSlot>& slots);

  struct Conditional {
    Word expected;
    SlotRecord record;
  };
  // Enqueues words only for slots whose whole word is as expected and which no change is under way
  // for (moves, lost marks). References stay as they are. Answers one bool a record.
  std::vector<bool> EnqueueIfUnchanged(const std::vector<Conditional>& conditionals,
                                       Published published);
  // Runs when a log write that is later than this call was accepted by every replica: the proof
  // that this process still owns the shard.
  void Barrier(std::function<void(Status)> done);
  // `count` versions for moves; empty if the block is used up for now. Entries may come to name
  // them until EndVersions.
  std::optional<Version> IssueVersions(uint32_t count);
  // What was issued from `first` on and is not enqueued by now never will be.
  void EndVersions(Version first);

  // Makes `token` the space's; older ones are fenced at once. `done` when it is logged. FENCED if a
  // newer one is known.
  void RaiseToken(SpaceId space, Token token, std::function<void(Status)> done);

  // The spaces that were ever opened here.
  std::vector<SpaceId> Spaces() const;

  // Whether this shard's part of the space was given up. Then what has no word is lost (a lost word
  // of set 0); the freed slots of a device space are zero, which its loads cannot tell from free;
  // and those of an allocated space stay lost for ever, since nobody knows who refers to them.
  bool GivenUp(SpaceId space) const { return space < options_.lost_spaces_end; }

  // Checks a request that changes nothing.
  Status CheckRead(const RequestHeader& header) const;
  Entry Lookup(SpaceId space, Offset offset) const;
  std::vector<Entry> Lookup(SpaceId space, const std::vector<Extent>& extents) const;
  // The same, for a load that a host waits for: the pages are warm from now on.
  std::vector<Entry> LookupForLoad(SpaceId space, const std::vector<Extent>& extents);

  // For reconciliation and moves. Runs `visit` under the lock: it must be short and must not call
  // the shard.
  void Inspect(const std::function<void(const EntryTable&)>& visit) const;
  void MarkSeen(const PageName& name, SeenBy by);
  // Of all entries; costs what the table holds.
  void ClearSeen(SeenBy by);
  // So many of the compressed pages on these sets as are `part` (0..1) of the shard's, the coldest
  // first (see EntryTable::TakeColdest); at least one where there are any.
  std::vector<NamedEntry> TakeColdest(const std::vector<SetId>& sets, double part);
  // Pages kept on these sets, all together.
  uint64_t PagesOn(const std::vector<SetId>& sets) const;
  // Whether an entry names this record of a node that belongs to `sets`. Empty: it cannot be told,
  // since its slot is being changed, or since it is the record of a lost page, which may be back.
  std::optional<bool> Names(const PageName& name, const std::vector<SetId>& sets) const;
  // Whether an entry names this record of a node that keeps pages of the sets `keeps` says, or may
  // come to name it.
  //
  // Of a version that was issued, no stays no. Words come from changes of the slot, which it counts
  // from the issue of their version until they are published, overtaken or abandoned, and from
  // moves, whose versions are noted from their issue until they are enqueued; each version is one
  // change's. So what is still on its way to a node is never named there if its change has ended,
  // and what is in the log's queue is a change that has not. Nor does another owner name it: it
  // knows the words published here, those of the write that is undecided here, and its own, of
  // versions above all that may be issued here.
  bool MayBeNamed(const PageName& name, const std::function<bool(SetId)>& keeps) const;
  // Versions from it on were not issued yet.
  Version next_version() const {
    MutexLock lock(mutex_);
    return next_version_;
  }

  uint64_t overtaken_total() const { return overtaken_; }
  ShardId id() const { return options_.id; }
  Epoch epoch() const { return options_.epoch; }

  struct LogState {
    TableLog* log = nullptr;
    bool full = true;
    bool filled = false;   // not full yet, but it holds everything
    Sequence awaited = 0;  // of the write that it has not accepted; 0: none
  };
  std::vector<LogState> Logs() const;
  // The full ones.
  std::vector<TableLog*> replicas() const;
  // A new replica: from the next write on nothing counts without it, and it is filled.
  void AddReplica(TableLog* log);
  // Nothing waits for it any more.
  void RemoveReplica(TableLog* log);
  // It was filled, and the record says so.
  void MarkFull(TableLog* log);
  // Somebody else owns the shard.
  void Fence(const Status& status);
  // Serves nothing any more: it is given up.
  void End() { Fail(); }

  // What a replica that joins is still to be told.
  struct Filling {
    bool begun = false;  // the rest is as of its first write; what came since goes with the writes
    std::vector<SlotName> clusters;  // by their first slot
    std::vector<SpaceId> spaces;     // whose tokens
    std::vector<RequestName> requests;
    bool filled = false;
    bool empty() const { return clusters.empty() && spaces.empty() && requests.empty(); }
  };
  // Of a shard that has ended, where what counts changes no more: the next piece for a log that
  // begins anew with that, as a write of a later epoch. The first one is told by an unused
  // `filling`; the last one leaves it empty.
  LogWrite NextPiece(Epoch epoch, Sequence sequence, Filling& filling) const;

 private:
  struct QueueEntry {
    std::vector<SlotRecord> slots;
    std::vector<TokenRecord> tokens;
    std::vector<Retired> retired;  // handed over once the entry counts
    std::optional<RequestRecord> answer;
    Published published;
  };
  struct Replica {
    TableLog* log = nullptr;
    std::unique_ptr<Filling> filling;  // null: full
  };
  // One log write under way. It is decided when no replica is missing.
  struct WriteUnderWay {
    LogWrite write;
    std::map<TableLog*, LogWrite>
        fillings;                     // of replicas that join: with what they are told besides
    std::vector<QueueEntry> entries;  // touched by whoever ends it
    std::vector<TableLog*> missing;   // under the shard's mutex
  };

  Status CheckHeader(const RequestHeader& header) const REQUIRES(mutex_);
  // What is behind a slot with this entry in the table, as requests see it.
  Entry OrGivenUp(SpaceId space, const Entry& entry) const;
  Entry EntryOf(SpaceId space, Offset offset) const REQUIRES(mutex_);
  std::shared_ptr<Request> AdmitWith(const RequestHeader& header,
                                     const std::vector<Extent>& extents, MutationDone done,
                                     const std::function<Status()>& begin);
  Status CheckVersions(size_t count) const REQUIRES(mutex_);
  // Whether a change of references holds one of the slots, or any change at all if `exclusive`.
  Status CheckNotBusy(SpaceId space, const std::vector<Offset>& offsets, bool exclusive) const
      REQUIRES(mutex_);
  void BeginSlot(SpaceId space, Offset offset, bool exclusive, std::vector<BegunSlot>* slots)
      REQUIRES(mutex_);
  Status BeginAllocation(const RequestHeader& header, const AllocateShape& shape,
                         std::vector<BegunSlot>* slots) REQUIRES(mutex_);
  void SettleOne(SpaceId space, Offset offset) REQUIRES(mutex_);
  // A slot that holds no word any more may be allocated again.
  void NoteFreed(SpaceId space, Offset offset) REQUIRES(mutex_);
  void PublishPurges(const std::vector<SlotName>& purges) REQUIRES(mutex_);
  void PublishEntry(const QueueEntry& entry, std::vector<Retired>* retired) REQUIRES(mutex_);
  void Push(QueueEntry entry) REQUIRES(mutex_);

  // Starts a log write if none is under way and there is something to write.
  void Pump();
  // The write, with the next piece of what the replica has not been told.
  LogWrite FillingWrite(const LogWrite& write, Filling& filling) const REQUIRES(mutex_);
  void FillSlots(Filling& filling, std::vector<SlotRecord>* slots) const REQUIRES(mutex_);
  void Send(const std::shared_ptr<WriteUnderWay>& write, TableLog* log, Duration retry);
  void OnAnswer(const std::shared_ptr<WriteUnderWay>& write, TableLog* log, Duration retry,
                const Status& answer);
  // Whether the write is under way and waits for it.
  bool Awaits(const std::shared_ptr<WriteUnderWay>& write, TableLog* log) const REQUIRES(mutex_);
  // Whether the write was waiting for it, and for nobody else now.
  static bool Accepted(WriteUnderWay& write, TableLog* log);
  void OnWritten(const std::shared_ptr<WriteUnderWay>& write);
  // False where it had been ended before.
  bool Fail();

  const Options options_;
  Executor& executor_;

  mutable Mutex mutex_;
  EntryTable table_ GUARDED_BY(mutex_);
  std::unordered_map<SpaceId, Token> tokens_ GUARDED_BY(mutex_);
  RequestWindows windows_ GUARDED_BY(mutex_);
  std::unordered_map<SpaceId, EntryAllocator> allocators_ GUARDED_BY(mutex_);
  bool serving_ GUARDED_BY(mutex_) = false;
  bool failed_ GUARDED_BY(mutex_) = false;

  Version next_version_ GUARDED_BY(mutex_) = 1;
  Version versions_end_ GUARDED_BY(mutex_) = 1;    // reserved: versions below it may be issued
  Version versions_asked_ GUARDED_BY(mutex_) = 0;  // reservation that is in the write under way
  // Issued for moves that may still enqueue them: first, count.
  std::map<Version, uint32_t> moving_ GUARDED_BY(mutex_);

  std::deque<QueueEntry> queue_ GUARDED_BY(mutex_);
  // None words that are on every replica: their records go with the next write.
  std::vector<std::pair<SlotName, Version>> purges_ GUARDED_BY(mutex_);
  Sequence last_sequence_ GUARDED_BY(mutex_) = 0;
  std::vector<Replica> replicas_ GUARDED_BY(mutex_);
  std::shared_ptr<WriteUnderWay> writing_ GUARDED_BY(mutex_);  // null: none
  std::atomic<uint64_t> overtaken_{0};
  uint64_t under_way_ GUARDED_BY(mutex_) = 0;  // begun slots not yet settled
};

}  // namespace vswap
