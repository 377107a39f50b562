#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "client/swap_client.h"
#include "services/common/mutex.h"

namespace vswap::nbd {

// The clients of the exports that are in use: one an export, shared by its connections, since a
// second attachment would fence the first. Opened by the first connection, closed after the last;
// meanwhile others of the same export wait. Thread-safe.
class Exports {
 public:
  // The client of options.space, opened with `options` if it is not there yet.
  StatusOr<SwapClient*> Acquire(const ClientOptions& options);
  // Given back by whoever acquired it. The error of closing the last one is for the log: the pages
  // are safe.
  Status Release(const std::string& space);
  // Those in use.
  void ForEach(const std::function<void(const std::string& space, const SwapClient&)>& visit);

 private:
  struct Export {
    int users = 0;
    bool busy = false;  // being opened or closed
    std::unique_ptr<SwapClient> client;
  };

  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, Export> exports_ GUARDED_BY(mutex_);
};

}  // namespace vswap::nbd
