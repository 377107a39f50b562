#include "client/range_lock.h"

#include <algorithm>

namespace vswap::client {

bool RangeLock::Ticket::ConflictsWith(const Ticket& other) const {
  if (mode_ == Mode::kShared && other.mode_ == Mode::kShared) {
    return false;
  }
  // Both are sorted: walk them like a merge.
  auto a = ranges_.begin();
  auto b = other.ranges_.begin();
  while (a != ranges_.end() && b != other.ranges_.end()) {
    if (a->offset + a->pages <= b->offset) {
      ++a;
    } else if (b->offset + b->pages <= a->offset) {
      ++b;
    } else {
      return true;
    }
  }
  return false;
}

void RangeLock::Acquire(std::span<const PageRange> ranges, Mode mode, Ticket& ticket) {
  ticket.ranges_ = ranges;
  ticket.mode_ = mode;
  if (!std::ranges::is_sorted(ranges, {}, &PageRange::offset)) {
    ticket.sorted_.assign(ranges.begin(), ranges.end());
    std::ranges::sort(ticket.sorted_, {}, &PageRange::offset);
    ticket.ranges_ = ticket.sorted_;
  }
  {
    MutexLock lock(mutex_);
    for (Ticket* earlier = tickets_.First(); earlier != nullptr;
         earlier = tickets_.After(*earlier)) {
      ticket.blockers_ += ticket.ConflictsWith(*earlier);
    }
    tickets_.PushBack(ticket);
    if (ticket.blockers_ > 0) {
      return;
    }
  }
  ticket.Granted();
}

void RangeLock::Release(Ticket& ticket) {
  {
    MutexLock lock(mutex_);
    for (Ticket* later = tickets_.After(ticket); later != nullptr; later = tickets_.After(*later)) {
      if (later->ConflictsWith(ticket) && --later->blockers_ == 0) {
        granted_.PushBack(*later);
      }
    }
    tickets_.Remove(ticket);
    if (running_ || granted_.empty()) {
      return;
    }
    running_ = true;
  }
  RunGranted();
}

void RangeLock::RunGranted() {
  while (true) {
    Ticket* next = nullptr;
    {
      MutexLock lock(mutex_);
      next = granted_.PopFront();
      if (next == nullptr) {
        running_ = false;
        return;
      }
    }
    next->Granted();
  }
}

}  // namespace vswap::client
