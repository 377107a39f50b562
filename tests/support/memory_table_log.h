#pragma once

#include <map>

#include "services/cluster/log_rules.h"
#include "services/cluster/table_log.h"
#include "services/common/executor.h"
#include "services/common/mutex.h"
#include "tests/support/call_faults.h"

namespace vswap {

// A table log in maps, for tests. Thread-safe. Writes and seals take effect within the call; the
// answer comes within the call too, or, with an executor, as a task posted to it.
class MemoryTableLog : public TableLog {
 public:
  explicit MemoryTableLog(Executor* executor = nullptr, Incarnation incarnation = 1)
      : executor_(executor), incarnation_(incarnation) {}

  void Write(LogWrite write, Callback<bool> done) override;
  void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) override;
  void Read(ShardId shard, std::string cursor, uint32_t limit,
            Callback<LogReadReply> done) override;

  // For writes and seals.
  CallFaults& faults() { return faults_; }

 private:
  using SlotKey = std::pair<SpaceId, Offset>;
  struct Shard {
    LogPosition position;
    std::map<SlotKey, SlotRecord> slots;
    std::map<SpaceId, Token> tokens;
    std::map<RequestName, std::string> requests;
  };

  template <typename T>
  void Answer(StatusOr<T> answer, Callback<T> done);
  StatusOr<bool> DoWrite(const LogWrite& write);
  StatusOr<LogEnd> DoSeal(ShardId id, Epoch epoch);
  StatusOr<LogReadReply> DoRead(ShardId id, const std::string& cursor, uint32_t limit);

  Executor* const executor_;
  const Incarnation incarnation_;
  CallFaults faults_;
  Mutex mutex_;
  std::map<ShardId, Shard> shards_ GUARDED_BY(mutex_);
};

}  // namespace vswap
