#pragma once

#include <prometheus/collectable.h>

#include "services/frontend/front_end.h"
#include "vswap/v1/admin.pb.h"

namespace vswap {

// A front-end's and its nodes' metrics, read when they are asked for: the paths only count in
// atomics. Labels: backing, reason, tier, node; all bounded. Thread-safe.
class FrontEndCollector : public prometheus::Collectable {
 public:
  explicit FrontEndCollector(FrontEnd& front_end) : front_end_(front_end) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  FrontEnd& front_end_;
};

// The metrics of a node's own process: what a front-end tells of it, and of the process.
std::vector<prometheus::MetricFamily> CollectNode(const v1::NodeStatus& node);

}  // namespace vswap
