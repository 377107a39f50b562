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
      if (!copy.member->left) {
        by_node[copy.member->id].push_back(record.name);
      }
    }
  }
  for (auto& [node, names] : by_node) {
    ReleaseAt(node, std::move(names), hold);
  }
}

void Releaser::ReleaseAt(NodeId node, std::vector<PageName> names,
                         const std::shared_ptr<void>& hold) {
  // Sets that a page was offered to may share the node.
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  for (size_t begin = 0; begin < names.size(); begin += kBatchPagesMax) {
    const size_t end = std::min(names.size(), begin + kBatchPagesMax);
    Batch batch{{names.begin() + static_cast<ptrdiff_t>(begin),
                 names.begin() + static_cast<ptrdiff_t>(end)},
                hold};
    {
      MutexLock lock(mutex_);
      Queue& queue = queues_[node];
      if (queue.silent) {
        dropped_ += queue.Add(std::move(batch));
        continue;
      }
      ++queue.under_way;
    }
    Send(node, std::move(batch));
  }
}

size_t Releaser::pending() const {
  MutexLock lock(mutex_);
  size_t pending = 0;
  for (const auto& [node, queue] : queues_) {
    pending += queue.under_way + queue.waiting.size();
  }
  return pending;
}

bool Releaser::Idle() const {
  MutexLock lock(mutex_);
  return std::ranges::all_of(queues_, [](const auto& of_node) {
    const Queue& queue = of_node.second;
    return queue.retry == kRetryMax || (queue.under_way == 0 && queue.waiting.empty());
  });
}

size_t Releaser::Queue::Add(Batch batch) {
  batch.hold = nullptr;  // when its room comes back, nobody knows
  names_waiting += batch.names.size();
  waiting.push_back(std::move(batch));
  size_t dropped = 0;
  while (names_waiting > kWaitingMax) {
    dropped += waiting.front().names.size();
    names_waiting -= waiting.front().names.size();
    waiting.pop_front();
  }
  return dropped;
}

void Releaser::Send(NodeId node, Batch batch) {
  const Placement::Member& target = *placement_.Find(node);
  std::vector<PageName> names = batch.names;
  target.node->Delete(std::move(names), [this, &target, batch = std::move(batch)](
                                            const StatusOr<Incarnation>& answer) mutable {
    // Another incarnation has deleted nothing of what the registered one keeps and may come back
    // with. If it is the new one, that is soon known, and it answers again.
    const bool answered = answer.ok() && *answer == target.incarnation;
    OnAnswer(target.id, std::move(batch), answered);
  });
}

void Releaser::OnAnswer(NodeId node, Batch batch, bool answered) {
  // Whoever waits for room is told without the lock.
  const std::shared_ptr<void> hold = std::exchange(batch.hold, nullptr);
  size_t next = 0;  // batches to send
  Duration retry{};
  {
    MutexLock lock(mutex_);
    Queue& queue = queues_[node];
    --queue.under_way;
    if (answered) {
      queue.silent = false;
      queue.retry = {};
      // Ever faster, up to a limit.
      const size_t more = queue.under_way + queue.posted < kUnderWayMax ? 2 : 1;
      next = std::min(queue.waiting.size(), more);
    } else {
      dropped_ += queue.Add(std::move(batch));
      next = queue.under_way + queue.posted == 0 ? 1 : 0;
      queue.silent = true;
      retry = queue.retry = std::clamp(2 * queue.retry, kRetryMin, kRetryMax);
    }
    queue.posted += next;
  }
  for (size_t i = 0; i < next; ++i) {
    executor_.PostAfter(retry, [this, node] { SendNext(node); });
  }
}

void Releaser::SendNext(NodeId node) {
  Batch batch;
  {
    MutexLock lock(mutex_);
    Queue& queue = queues_[node];
    --queue.posted;
    if (placement_.Find(node)->left) {
      dropped_ += queue.names_waiting;
      queue.waiting.clear();
      queue.names_waiting = 0;
      queue.silent = false;
      queue.retry = {};
    }
    if (queue.waiting.empty()) {
      return;
    }
    batch = std::move(queue.waiting.front());
    queue.waiting.pop_front();
    queue.names_waiting -= batch.names.size();
    ++queue.under_way;
  }
  Send(node, std::move(batch));
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
    returns_ += gave_room;
    returns_by_frees_ += purpose == For::kFree;
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
