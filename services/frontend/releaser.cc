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
    for (const Placement::Copy& copy : placement_.CopiesOf(record.set)) {
      by_node[copy.member->id].push_back(record.name);
    }
  }
  for (const auto& [node, names] : by_node) {
    ReleaseAt(node, names, hold);
  }
}

void Releaser::ReleaseAt(NodeId node, const std::vector<PageName>& names,
                         const std::shared_ptr<void>& hold) {
  for (size_t begin = 0; begin < names.size(); begin += kBatchPagesMax) {
    const size_t end = std::min(names.size(), begin + kBatchPagesMax);
    {
      MutexLock lock(mutex_);
      ++pending_;
    }
    Delete(node,
           {names.begin() + static_cast<ptrdiff_t>(begin),
            names.begin() + static_cast<ptrdiff_t>(end)},
           hold, kRetryMin);
  }
}

size_t Releaser::pending() const {
  MutexLock lock(mutex_);
  return pending_;
}

void Releaser::Delete(NodeId node, std::vector<PageName> names, std::shared_ptr<void> hold,
                      Duration retry) {
  Node* target = placement_.Find(node)->node;
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

std::shared_ptr<OverlapGate::Hold> OverlapGate::Take(For purpose) {
  {
    MutexLock lock(mutex_);
    ++held_;
    held_by_frees_ += purpose == For::kFree;
  }
  return std::make_shared<Hold>(shared_from_this(), purpose);
}

bool OverlapGate::WaitForRelease(bool overwrites, Ready ready) {
  MutexLock lock(mutex_);
  if ((overwrites ? held_ : held_by_frees_) == 0) {
    return false;
  }
  waiting_.push_back(std::move(ready));
  return true;
}

void OverlapGate::LetGo(For purpose, bool gave_room) {
  Ready next;
  {
    MutexLock lock(mutex_);
    held_by_frees_ -= purpose == For::kFree;
    // Who gave nothing wakes nobody, unless nobody else is left to do it.
    if (waiting_.empty() || (!gave_room && held_ > 1)) {
      --held_;
      return;
    }
    next = std::move(waiting_.front());
    waiting_.pop_front();
  }
  // The count of this hold goes on to the next.
  executor_.Post([next = std::move(next), gave_room,
                  hold = std::make_shared<Hold>(shared_from_this(), For::kStore)]() mutable {
    next(std::move(hold), gave_room);
  });
}

}  // namespace vswap
