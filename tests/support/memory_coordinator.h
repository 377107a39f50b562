#pragma once

#include <map>

#include "services/cluster/coordinator.h"
#include "services/common/executor.h"
#include "services/common/mutex.h"
#include "tests/support/call_faults.h"

namespace vswap {

// A coordinator in a map, for tests. Thread-safe. Commits take effect within the call; the answer
// comes within the call too, or, with an executor, as a task posted to it.
class MemoryCoordinator : public Coordinator {
 public:
  explicit MemoryCoordinator(Executor* executor = nullptr) : executor_(executor) {}

  void Get(std::string key, Callback<std::optional<KeyValue>> done) override;
  void List(std::string prefix, Callback<std::vector<KeyValue>> done) override;
  void Commit(Transaction transaction, Callback<TransactionReply> done) override;

  // For all calls.
  CallFaults& faults() { return faults_; }

 private:
  template <typename T>
  void Answer(StatusOr<T> answer, Callback<T> done);
  std::optional<KeyValue> Find(const std::string& key);
  std::vector<KeyValue> FindAll(const std::string& prefix);
  StatusOr<TransactionReply> DoCommit(const Transaction& transaction);

  Executor* const executor_;
  CallFaults faults_;
  Mutex mutex_;
  std::map<std::string, KeyValue> records_ GUARDED_BY(mutex_);
  uint64_t revision_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vswap
