#include "services/frontend/releaser.h"

#include <algorithm>
#include <map>

namespace vswap {
namespace {

constexpr Duration kRetryMin = std::chrono::milliseconds(10);
constexpr Duration kRetryMax = std::chrono::seconds(2);

}  // namespace

void Releaser::Release(std::vector<Retired> records, std::shared_ptr<void> hold) {
  std::map<NodeId, std::vector<PageName>> by_node;
  for (const Retired& record : records) {
    for (const Placement::Member* member : placement_.NodesOf(record.set)) {
      by_node[member->id].push_back(record.name);
    }
  }
  for (auto& [node, names] : by_node) {
    for (size_t begin = 0; begin < names.size(); begin += kBatchPagesMax) {
      const size_t end = std::min(names.size(), begin + kBatchPagesMax);
      {
        MutexLock lock(mutex_);
        ++pending_;
      }
      Delete(node, {names.begin() + static_cast<ptrdiff_t>(begin),
                    names.begin() + static_cast<ptrdiff_t>(end)},
             hold, kRetryMin);
    }
  }
}

size_t Releaser::pending() const {
  MutexLock lock(mutex_);
  return pending_;
}

void Releaser::Delete(NodeId node, std::vector<PageName> names, std::shared_ptr<void> hold,
                      Duration retry) {
  Node* target = placement_.members().at(node).node;
  target->Delete(names, [this, node, names, hold, retry](StatusOr<Incarnation> answer) mutable {
    if (answer.ok()) {
      MutexLock lock(mutex_);
      --pending_;
      return;
    }
    executor_.PostAfter(retry, [this, node, names = std::move(names), hold = std::move(hold),
                                next = std::min(retry * 2, kRetryMax)]() mutable {
      Delete(node, std::move(names), std::move(hold), next);
    });
  });
}

std::shared_ptr<void> OverlapGate::Hold() {
  MutexLock lock(mutex_);
  ++held_;
  return std::shared_ptr<void>(static_cast<void*>(this),
                               [self = shared_from_this()](void*) { self->LetGo(); });
}

bool OverlapGate::WaitForRelease(std::function<void()> ready) {
  MutexLock lock(mutex_);
  if (held_ == 0) {
    return false;
  }
  waiting_.push_back(std::move(ready));
  return true;
}

void OverlapGate::LetGo() {
  std::vector<std::function<void()>> ready;
  {
    MutexLock lock(mutex_);
    --held_;
    ready.swap(waiting_);
  }
  for (auto& task : ready) {
    executor_.Post(std::move(task));
  }
}

}  // namespace vswap
