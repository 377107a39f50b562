#include "client/request_pool.h"

namespace vswap::client {

RequestPool::RequestPool(size_t requests) {
  for (size_t i = 0; i < requests; ++i) {
    free_.PushBack(*new Request);
  }
}

RequestPool::~RequestPool() {
  while (Request* request = free_.PopFront()) {
    delete request;
  }
}

Request& RequestPool::Take(bool may_wait) {
  MutexLock lock(mutex_);
  while (free_.empty() && may_wait) {
    returned_.Wait(mutex_);
  }
  if (Request* request = free_.PopFront()) {
    return *request;
  }
  ++extra_;
  return *new Request;
}

Request* RequestPool::TryTake() {
  MutexLock lock(mutex_);
  return free_.PopFront();
}

void RequestPool::PutBack(Request& request) {
  request.Reset();
  {
    MutexLock lock(mutex_);
    if (extra_ == 0) {
      free_.InsertAfter(nullptr, request);  // the one that is warm in the cache goes out first
      returned_.NotifyOne();
      return;
    }
    --extra_;
  }
  delete &request;
}

}  // namespace vswap::client
