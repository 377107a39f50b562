#include "tests/support/memory_coordinator.h"

#include "services/cluster/transaction.h"

namespace vswap {

template <typename T>
void MemoryCoordinator::Answer(StatusOr<T> answer, Callback<T> done) {
  if (executor_ == nullptr) {
    done(std::move(answer));
    return;
  }
  executor_->Post([answer = std::move(answer), done = std::move(done)] { done(answer); });
}

void MemoryCoordinator::Get(std::string key, Callback<std::optional<KeyValue>> done) {
  using Reply = std::optional<KeyValue>;
  Answer<Reply>(faults_.Apply<Reply>([&]() -> StatusOr<Reply> { return Find(key); }),
                std::move(done));
}

void MemoryCoordinator::List(std::string prefix, Callback<std::vector<KeyValue>> done) {
  using Reply = std::vector<KeyValue>;
  Answer<Reply>(faults_.Apply<Reply>([&]() -> StatusOr<Reply> { return FindAll(prefix); }),
                std::move(done));
}

void MemoryCoordinator::Commit(Transaction transaction, Callback<TransactionReply> done) {
  Answer<TransactionReply>(faults_.Apply<TransactionReply>([&] { return DoCommit(transaction); }),
                           std::move(done));
}

std::optional<KeyValue> MemoryCoordinator::Find(const std::string& key) {
  MutexLock lock(mutex_);
  const auto it = records_.find(key);
  return it == records_.end() ? std::optional<KeyValue>() : it->second;
}

std::vector<KeyValue> MemoryCoordinator::FindAll(const std::string& prefix) {
  std::vector<KeyValue> found;
  MutexLock lock(mutex_);
  for (auto it = records_.lower_bound(prefix);
       it != records_.end() && it->first.starts_with(prefix); ++it) {
    found.push_back(it->second);
  }
  return found;
}

StatusOr<TransactionReply> MemoryCoordinator::DoCommit(const Transaction& transaction) {
  VSWAP_RETURN_IF_ERROR(ValidateTransaction(transaction));
  MutexLock lock(mutex_);
  for (const Transaction::Compare& compare : transaction.compares) {
    const auto it = records_.find(compare.key);
    if ((it == records_.end() ? 0 : it->second.revision) != compare.revision) {
      return TransactionReply{false, revision_};
    }
  }
  if (!transaction.puts.empty() || !transaction.deletes.empty()) {
    ++revision_;
  }
  for (const Transaction::Put& put : transaction.puts) {
    records_[put.key] = {put.key, put.value, revision_};
  }
  for (const std::string& key : transaction.deletes) {
    records_.erase(key);
  }
  return TransactionReply{true, revision_};
}

}  // namespace vswap
