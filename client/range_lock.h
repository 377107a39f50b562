#pragma once

#include <span>
#include <vector>

#include "client/page_range.h"
#include "services/common/intrusive_list.h"
#include "services/common/mutex.h"

namespace vswap::client {

// Keeps calls on the same slots apart where one of them changes something: whoever comes later
// waits for all earlier ones that it conflicts with. So calls on a slot take effect in the order in
// which they were made, and the server, which refuses what is older than an applied request on the
// same slot, never has a reason to.
//
// Bad at: many holders at once; acquiring compares with every one of them (bounded by SwapClient's
// gate and its pool of requests). Thread-safe.
class RangeLock {
 public:
  enum class Mode { kShared, kExclusive };

  // A place in the lock, part of whoever takes it. One use.
  class Ticket : private ListNode<Ticket, struct InTickets>,
                 private ListNode<Ticket, struct InGranted> {
   public:
    virtual ~Ticket() = default;

   private:
    friend class RangeLock;
    template <typename, typename>
    friend class vswap::IntrusiveList;
    // Runs once, without the lock, within Acquire or on a thread that releases another one. Within
    // it the ticket may already be released, and gone.
    virtual void Granted() = 0;
    bool ConflictsWith(const Ticket& other) const;

    std::span<const PageRange> ranges_;
    std::vector<PageRange> sorted_;  // where they came out of order
    Mode mode_ = Mode::kShared;
    size_t blockers_ = 0;  // earlier tickets that conflict
  };

  // The ranges are borrowed until the release.
  void Acquire(std::span<const PageRange> ranges, Mode mode, Ticket& ticket);
  void Release(Ticket& ticket);

 private:
  void RunGranted();

  Mutex mutex_;
  IntrusiveList<Ticket, InTickets> tickets_ GUARDED_BY(mutex_);  // in order of arrival
  // Grants are run one after the other by one thread, not within each other: a chain of failing
  // calls has no depth.
  IntrusiveList<Ticket, InGranted> granted_ GUARDED_BY(mutex_);
  bool running_ GUARDED_BY(mutex_) = false;
};

}  // namespace vswap::client
