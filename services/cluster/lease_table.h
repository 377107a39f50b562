#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "services/cluster/coordinator.h"

namespace vswap {

// Which keys go with which lease, in a coordinator that lives in one process. A key has one lease
// or none. Externally synchronised.
class LeaseTable {
 public:
  LeaseId Grant() {
    keys_[++last_];
    return last_;
  }
  bool Holds(LeaseId lease) const { return keys_.contains(lease); }
  bool IsLeased(const std::string& key) const { return leases_.contains(key); }
  // After a put of the key; 0: without a lease.
  void Attach(const std::string& key, LeaseId lease) {
    Detach(key);
    if (lease != 0) {
      keys_[lease].insert(key);
      leases_[key] = lease;
    }
  }
  void Detach(const std::string& key) {
    const auto it = leases_.find(key);
    if (it != leases_.end()) {
      keys_[it->second].erase(key);
      leases_.erase(it);
    }
  }
  // In key order.
  std::vector<std::string> KeysOf(LeaseId lease) const {
    const auto it = keys_.find(lease);
    return it == keys_.end() ? std::vector<std::string>()
                             : std::vector<std::string>(it->second.begin(), it->second.end());
  }
  void End(LeaseId lease) {
    for (const std::string& key : KeysOf(lease)) {
      leases_.erase(key);
    }
    keys_.erase(lease);
  }

 private:
  std::map<LeaseId, std::set<std::string>> keys_;
  std::map<std::string, LeaseId> leases_;
  LeaseId last_ = 0;
};

}  // namespace vswap
