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
  MutexLock lock(mutex_);
  return FindAllLocked(prefix);
}

std::vector<KeyValue> MemoryCoordinator::FindAllLocked(const std::string& prefix) {
  std::vector<KeyValue> found;
  for (auto it = records_.lower_bound(prefix);
       it != records_.end() && it->first.starts_with(prefix); ++it) {
    found.push_back(it->second);
  }
  return found;
}

void MemoryCoordinator::GrantLease(Duration ttl, std::function<void(Status)> lost,
                                   Callback<Lease> done) {
  Answer<Lease>(faults_.Apply<Lease>([&]() -> StatusOr<Lease> {
    VSWAP_RETURN_IF_ERROR(ValidateTtl(ttl));
    MutexLock lock(mutex_);
    const LeaseId lease = leases_.Grant();
    lost_[lease] = lost;
    return Lease{lease, ttl};
  }),
                std::move(done));
}

void MemoryCoordinator::RevokeLease(LeaseId lease, Callback<LeaseId> done) {
  Answer<LeaseId>(faults_.Apply<LeaseId>([&]() -> StatusOr<LeaseId> {
    EndLease(lease);
    return lease;
  }),
                  std::move(done));
}

void MemoryCoordinator::ExpireLease(LeaseId lease) {
  if (const auto lost = EndLease(lease)) {
    lost(MakeError(StatusCode::kNotFound, "the lease's time is over"));
  }
}

std::function<void(Status)> MemoryCoordinator::EndLease(LeaseId lease) {
  std::function<void(Status)> lost;
  {
    MutexLock lock(mutex_);
    (void)DoCommitLocked({{}, {}, leases_.KeysOf(lease)});
    leases_.End(lease);
    const auto it = lost_.find(lease);
    if (it != lost_.end()) {
      lost = std::move(it->second);
      lost_.erase(it);
    }
  }
  watches_.Deliver();
  return lost;
}

std::unique_ptr<WatchHandle> MemoryCoordinator::Watch(std::string prefix, uint64_t from_revision,
                                                      WatchHandler handler) {
  auto watcher = WatchHub::Make(prefix, from_revision, std::move(handler));
  {
    MutexLock lock(mutex_);
    watches_.Begin(watcher, revision_, FindAllLocked(prefix));
  }
  watches_.Deliver();
  return WatchHub::HandleOf(std::move(watcher));
}

StatusOr<TransactionReply> MemoryCoordinator::DoCommit(const Transaction& transaction) {
  VSWAP_RETURN_IF_ERROR(ValidateTransaction(transaction));
  StatusOr<TransactionReply> reply;
  {
    MutexLock lock(mutex_);
    reply = DoCommitLocked(transaction);
  }
  watches_.Deliver();
  return reply;
}

StatusOr<TransactionReply> MemoryCoordinator::DoCommitLocked(const Transaction& transaction) {
  for (const Transaction::Compare& compare : transaction.compares) {
    const auto it = records_.find(compare.key);
    if ((it == records_.end() ? 0 : it->second.revision) != compare.revision) {
      return TransactionReply{false, revision_};
    }
  }
  for (const Transaction::Put& put : transaction.puts) {
    if (put.lease != 0 && !leases_.Holds(put.lease)) {
      return LeaseEnded(put);
    }
  }
  if (!transaction.puts.empty() || !transaction.deletes.empty()) {
    ++revision_;
  }
  std::vector<WatchEvent> events;
  for (const Transaction::Put& put : transaction.puts) {
    records_[put.key] = {put.key, put.value, revision_};
    leases_.Attach(put.key, put.lease);
    events.push_back({put.key, put.value, revision_});
  }
  for (const std::string& key : transaction.deletes) {
    leases_.Detach(key);
    if (records_.erase(key) != 0) {
      events.push_back({key, std::nullopt, revision_});
    }
  }
  watches_.Publish(std::move(events));
  return TransactionReply{true, revision_};
}

}  // namespace vswap
