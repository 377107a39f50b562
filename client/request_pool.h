#pragma once

#include "client/request.h"
#include "services/common/mutex.h"

namespace vswap::client {

// The requests of one client, all made at its start and used again: so many batches are under way
// at most, and a call that would need more waits. Only a thread that must not wait gets one that is
// made for it, and deleted when it comes back. Thread-safe. All are back before it goes.
class RequestPool {
 public:
  explicit RequestPool(size_t requests);
  ~RequestPool();
  RequestPool(const RequestPool&) = delete;
  RequestPool& operator=(const RequestPool&) = delete;

  // With `may_wait` false for a thread that brings requests back itself.
  Request& Take(bool may_wait);
  // Null where there is none left.
  Request* TryTake();
  void PutBack(Request& request);

 private:
  Mutex mutex_;
  CondVar returned_;
  IntrusiveList<Request, InQueue> free_ GUARDED_BY(mutex_);
  size_t extra_ GUARDED_BY(mutex_) = 0;  // made over the number at the start
};

}  // namespace vswap::client
