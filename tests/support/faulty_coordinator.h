#pragma once

#include "services/cluster/coordinator.h"
#include "tests/support/fault_script.h"

namespace vswap {

// A coordinator in front of any other one, as a FaultScript says. Corrupt: values that cannot be
// read. Leases and watches just pass. Thread-safe.
class FaultyCoordinator : public Coordinator {
 public:
  FaultyCoordinator(FaultScript& script, Coordinator& coordinator)
      : script_(script), coordinator_(coordinator) {}

  void Get(std::string key, Callback<std::optional<KeyValue>> done) override {
    script_.Pass<std::optional<KeyValue>>(
        CallKind::kCoordinatorGet,
        [this, key = std::move(key)](Fault, Callback<std::optional<KeyValue>> answer) {
          coordinator_.Get(key, std::move(answer));
        },
        std::move(done),
        [](Fault, std::optional<KeyValue>& found) {
          if (found) {
            found->value = kUnreadable;
          }
        });
  }
  void List(std::string prefix, Callback<std::vector<KeyValue>> done) override {
    script_.Pass<std::vector<KeyValue>>(
        CallKind::kCoordinatorList,
        [this, prefix = std::move(prefix)](Fault, Callback<std::vector<KeyValue>> answer) {
          coordinator_.List(prefix, std::move(answer));
        },
        std::move(done),
        [](Fault, std::vector<KeyValue>& found) {
          if (!found.empty()) {
            found.back().value = kUnreadable;
          }
        });
  }
  void Commit(Transaction transaction, Callback<TransactionReply> done) override {
    script_.Pass<TransactionReply>(
        CallKind::kCoordinatorCommit,
        [this, transaction = std::move(transaction)](Fault, Callback<TransactionReply> answer) {
          coordinator_.Commit(transaction, std::move(answer));
        },
        std::move(done));
  }
  void GrantLease(Duration ttl, std::function<void(Status)> lost, Callback<Lease> done) override {
    coordinator_.GrantLease(ttl, std::move(lost), std::move(done));
  }
  void RevokeLease(LeaseId lease, Callback<LeaseId> done) override {
    coordinator_.RevokeLease(lease, std::move(done));
  }
  std::unique_ptr<WatchHandle> Watch(std::string prefix, uint64_t from_revision,
                                     WatchHandler handler) override {
    return coordinator_.Watch(std::move(prefix), from_revision, std::move(handler));
  }

 private:
  static constexpr char kUnreadable[] = "\xff\xff\xff";

  FaultScript& script_;
  Coordinator& coordinator_;
};

}  // namespace vswap
