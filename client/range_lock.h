#pragma once

#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "client/page_range.h"
#include "services/common/mutex.h"

namespace vswap::client {

// Keeps calls on the same slots apart where one of them changes something: whoever comes later
// waits for all earlier ones that it conflicts with. So calls on a slot take effect in the order in
// which they were made, and the server, which refuses what is older than an applied request on the
// same slot, never has a reason to.
//
// Bad at: many holders at once; acquiring compares with every one of them (bounded by SwapClient's
// gate). Thread-safe. `granted` runs once, without the lock: within Acquire, or on a thread that
// releases another one.
class RangeLock {
 public:
  enum class Mode { kShared, kExclusive };
  class Ticket;
  using TicketPtr = std::shared_ptr<Ticket>;

  // Within `granted` the ticket may already be released. `ticket` is set before `granted` can run.
  void Acquire(std::vector<PageRange> ranges, Mode mode, TicketPtr* ticket,
               std::function<void()> granted);
  void Release(const TicketPtr& ticket);

 private:
  using Tickets = std::list<TicketPtr>;
  void RunGranted();

  Mutex mutex_;
  Tickets tickets_ GUARDED_BY(mutex_);  // in order of arrival
  // Grants are run one after the other by one thread, not within each other: a chain of failing
  // calls has no depth.
  std::deque<std::function<void()>> granted_ GUARDED_BY(mutex_);
  bool running_ GUARDED_BY(mutex_) = false;
};

}  // namespace vswap::client
