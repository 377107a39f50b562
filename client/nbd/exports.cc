#include "client/nbd/exports.h"

#include <algorithm>
#include <utility>

namespace vswap::nbd {
namespace {

// A stop must not take as long as the service is patient.
constexpr Duration kClosePatience = std::chrono::seconds(5);

}  // namespace

StatusOr<SwapClient*> Exports::Acquire(const ClientOptions& options) {
  {
    MutexLock lock(mutex_);
    while (exports_[options.space].busy) {
      changed_.Wait(mutex_);
    }
    Export& found = exports_[options.space];
    if (found.client) {
      ++found.users;
      return found.client.get();
    }
    found.busy = true;
  }
  StatusOr<std::unique_ptr<SwapClient>> opened = SwapClient::Open(options);
  MutexLock lock(mutex_);
  changed_.NotifyAll();
  if (!opened.ok()) {
    exports_.erase(options.space);
    return opened.status();
  }
  Export& mine = exports_[options.space];
  mine.busy = false;
  mine.users = 1;
  mine.client = *std::move(opened);
  return mine.client.get();
}

Status Exports::Release(const std::string& space) {
  std::unique_ptr<SwapClient> last;
  {
    MutexLock lock(mutex_);
    Export& found = exports_[space];
    if (--found.users > 0) {
      return Status();
    }
    found.busy = true;
    last = std::move(found.client);
  }
  const Status status = last->Close(std::min(last->patience(), kClosePatience));
  last = nullptr;
  MutexLock lock(mutex_);
  exports_.erase(space);
  changed_.NotifyAll();
  return status;
}

void Exports::ForEach(
    const std::function<void(const std::string& space, const SwapClient&)>& visit) {
  MutexLock lock(mutex_);
  for (const auto& [space, found] : exports_) {
    if (found.client) {
      visit(space, *found.client);
    }
  }
}

}  // namespace vswap::nbd
