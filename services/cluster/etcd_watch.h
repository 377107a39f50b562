#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "services/cluster/coordinator.h"

namespace vswap {

class EtcdConnection;

struct EtcdListing {
  std::vector<KeyValue> records;  // in key order
  uint64_t revision = 0;          // of the store, when they were read
};

// All keys that begin with `prefix`. `done` runs on any thread.
void ListEtcd(EtcdConnection& connection, const std::string& prefix,
              std::function<void(StatusOr<EtcdListing>)> done);

// Coordinator::Watch. The handle may outlive the connection, and tells nothing any more then.
std::unique_ptr<WatchHandle> WatchEtcd(EtcdConnection& connection, std::string prefix,
                                       uint64_t from_revision, WatchHandler handler);

}  // namespace vswap
