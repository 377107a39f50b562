#include "client/range_lock.h"

#include <algorithm>
#include <utility>

namespace vswap::client {

class RangeLock::Ticket {
 public:
  Ticket(std::vector<PageRange> ranges, Mode mode, std::function<void()> granted)
      : ranges_(std::move(ranges)), mode_(mode), granted_(std::move(granted)) {
    std::ranges::sort(ranges_, {}, &PageRange::offset);
  }

  bool ConflictsWith(const Ticket& other) const {
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

  size_t blockers = 0;  // earlier tickets that conflict
  Tickets::iterator place;
  std::function<void()> TakeGranted() { return std::exchange(granted_, nullptr); }

 private:
  std::vector<PageRange> ranges_;
  const Mode mode_;
  std::function<void()> granted_;
};

void RangeLock::Acquire(std::vector<PageRange> ranges, Mode mode, TicketPtr* ticket,
                        std::function<void()> granted) {
  auto mine = std::make_shared<Ticket>(std::move(ranges), mode, std::move(granted));
  *ticket = mine;
  std::function<void()> run;
  {
    MutexLock lock(mutex_);
    for (const TicketPtr& earlier : tickets_) {
      mine->blockers += mine->ConflictsWith(*earlier);
    }
    mine->place = tickets_.insert(tickets_.end(), mine);
    if (mine->blockers == 0) {
      run = mine->TakeGranted();
    }
  }
  if (run) {
    run();
  }
}

void RangeLock::Release(const TicketPtr& ticket) {
  {
    MutexLock lock(mutex_);
    for (auto later = std::next(ticket->place); later != tickets_.end(); ++later) {
      if ((*later)->ConflictsWith(*ticket) && --(*later)->blockers == 0) {
        granted_.push_back((*later)->TakeGranted());
      }
    }
    tickets_.erase(ticket->place);
    if (running_ || granted_.empty()) {
      return;
    }
    running_ = true;
  }
  RunGranted();
}

void RangeLock::RunGranted() {
  while (true) {
    std::function<void()> run;
    {
      MutexLock lock(mutex_);
      if (granted_.empty()) {
        running_ = false;
        return;
      }
      run = std::move(granted_.front());
      granted_.pop_front();
    }
    run();
  }
}

}  // namespace vswap::client
