#pragma once

#include <rocksdb/write_batch.h>

#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "services/cluster/log_rules.h"
#include "services/cluster/table_log.h"
#include "services/common/executor.h"
#include "services/common/mutex.h"
#include "services/store/store_db.h"

namespace vswap {

// A replica of the table log in a StoreDb (log_format.h). Writes and seals of a shard are applied
// in the order of the calls, those that wait together as one atomic write to RocksDB, so that an
// owner may send many without waiting.
//
// Bad at: going on beside damage. A record that does not verify makes Read fail with DATA_LOSS:
// left out, its slot would read as never stored, which is zeros, and a wrong page is worse than a
// lost one.
//
// Thread-safe. Works on the executor, which has stopped before this ends; what it dropped is not
// answered. The StoreDb is borrowed and outlives this. Invariant: `position` of a shard is what its
// record in RocksDB says, or unknown. Failure: what RocksDB does not accept is answered
// UNAVAILABLE, and the position is read again before the next write.
class RocksdbTableLog : public TableLog {
 public:
  RocksdbTableLog(StoreDb& store, Executor& executor) : store_(store), executor_(executor) {}

  void Write(LogWrite write, Callback<bool> done) override;
  void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) override;
  void Read(ShardId shard, std::string cursor, uint32_t limit,
            Callback<LogReadReply> done) override;

 private:
  // A write, or a seal where `seal_epoch` is not 0. A write's caller is told no end.
  struct Call {
    LogWrite write;
    Epoch seal_epoch = 0;
    Callback<LogEnd> done;
  };
  // One shard's calls in their order. The calls are guarded by `mutex_`, the position belongs to
  // whoever set `busy`.
  struct Shard {
    ShardId id = 0;
    std::deque<Call> calls;
    bool busy = false;
    std::optional<LogPosition> position;
  };

  void Enqueue(ShardId id, Call call);
  // The next calls to apply together, a seal only as the last; none, and `busy` is over.
  std::vector<Call> TakeCalls(Shard& shard);
  void Run(Shard& shard);
  // The answers, as many as calls.
  std::vector<StatusOr<LogEnd>> Apply(Shard& shard, const std::vector<Call>& calls);
  // Moves the position on and adds to the batch, or refuses.
  Status Admit(const Call& call, LogPosition& position, rocksdb::WriteBatch& batch);
  Status Commit(Shard& shard, const LogPosition& position, rocksdb::WriteBatch& batch);
  StatusOr<LogPosition> ReadPosition(ShardId id);
  StatusOr<LogEnd> ReadEnd(ShardId id, const LogPosition& position);
  StatusOr<LogReadReply> DoRead(ShardId id, const std::string& cursor, uint32_t limit);
  // Gives the records of one kind after the cursor to `take`, which answers whether they are sound.
  Status ReadKind(ShardId id, char kind, const std::string& cursor, uint32_t limit, bool* more,
                  const std::function<bool(const rocksdb::Iterator&)>& take);

  StoreDb& store_;
  Executor& executor_;
  Mutex mutex_;
  std::unordered_map<ShardId, std::unique_ptr<Shard>> shards_ GUARDED_BY(mutex_);
};

}  // namespace vswap
