#pragma once

#include <set>

#include "services/cluster/coordinator.h"

namespace vswap {

// What every body of the coordinator refuses, as etcd does: empty keys, and a key that is changed
// twice.
[[nodiscard]] inline Status ValidateTransaction(const Transaction& transaction) {
  std::set<std::string_view> changed;
  for (const Transaction::Compare& compare : transaction.compares) {
    if (compare.key.empty()) {
      return InvalidField("compare.key", "empty", "1 byte or more");
    }
  }
  for (const Transaction::Put& put : transaction.puts) {
    if (put.key.empty() || !changed.insert(put.key).second) {
      return InvalidField("put.key", "'" + put.key + "'", "not empty, each key changed once");
    }
  }
  for (const std::string& key : transaction.deletes) {
    if (key.empty() || !changed.insert(key).second) {
      return InvalidField("delete", "'" + key + "'", "not empty, each key changed once");
    }
  }
  return absl::OkStatus();
}

[[nodiscard]] inline Status ValidateTtl(Duration ttl) {
  return ttl > Duration::zero()
             ? Status()
             : InvalidField("ttl", std::to_string(ttl.count()) + " ns", "more than 0");
}

// Of a put under a lease that is not there.
[[nodiscard]] inline Status LeaseEnded(const Transaction::Put& put) {
  return MakeError(StatusCode::kNotFound,
                   "putting " + put.key + ": lease " + std::to_string(put.lease) + " has ended");
}

}  // namespace vswap
