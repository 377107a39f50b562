#pragma once

#include <string>
#include <vector>

#include "services/cluster/table_log.h"

namespace vswap {

// The stores that may keep replicas of table logs. Thread-safe; what it hands out outlives the
// front-end.
class LogNodes {
 public:
  struct Store {
    NodeId node = 0;
    Incarnation incarnation = 0;  // of its log, that is registered
    std::string machine;
    std::string zone;
    bool draining = false;
    bool answers = true;  // as far as is known
    TableLog* log = nullptr;
  };
  virtual ~LogNodes() = default;
  virtual std::vector<Store> Stores() = 0;
};

// Table logs in the front-end's own process: nodes 1, 2, ... of any incarnation.
class LocalLogNodes : public LogNodes {
 public:
  explicit LocalLogNodes(std::vector<TableLog*> logs) : logs_(std::move(logs)) {}

  std::vector<Store> Stores() override {
    std::vector<Store> stores;
    for (TableLog* log : logs_) {
      const auto node = static_cast<NodeId>(stores.size() + 1);
      stores.push_back({node, 0, std::to_string(node), "", false, true, log});
    }
    return stores;
  }

 private:
  const std::vector<TableLog*> logs_;
};

}  // namespace vswap
