#include "services/frontend/status_report.h"

#include <chrono>

#include "services/cluster/await.h"
#include "services/common/process_usage.h"
#include "services/common/version.h"
#include "services/frontend/cluster_report.h"

namespace vswap {
namespace {

constexpr auto kWaitMax = std::chrono::seconds(1);

v1::SpaceStatus ToStatus(const SpaceInfo& space, const SpaceCounts& counts) {
  v1::SpaceStatus status;
  status.set_space(space.id);
  status.set_name(space.name);
  status.set_pages(space.pages);
  status.set_holder(space.holder);
  status.set_kind(static_cast<v1::SpaceKind>(space.kind));
  status.set_empty_pages(counts.empty_pages);
  status.set_zero_pages(counts.zero_pages);
  status.set_compressed_pages(counts.compressed_pages);
  status.set_physical_pages(counts.physical_pages);
  status.set_lost_pages(counts.lost_pages);
  status.set_compressed_bytes(counts.compressed_bytes);
  status.set_physical_bytes(counts.physical_bytes);
  return status;
}

}  // namespace

v1::ProcessStatus OwnProcessStatus() {
  const ProcessUsage usage = OwnUsage();
  v1::ProcessStatus status;
  status.set_resident_bytes(usage.resident_bytes);
  status.set_cpu_microseconds(static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(usage.cpu).count()));
  return status;
}

v1::NodeStatus ToNodeStatus(NodeId node, Tier tier, const std::string& name,
                            const NodeStatistics& statistics) {
  v1::NodeStatus status;
  status.set_node(node);
  status.set_tier(static_cast<v1::Tier>(tier));
  status.set_name(name);
  status.set_incarnation(statistics.incarnation);
  status.set_pages(statistics.pages);
  status.set_pages_capacity(statistics.pages_capacity);
  status.set_payload_bytes(statistics.payload_bytes);
  status.set_used_bytes(statistics.used_bytes);
  status.set_capacity_bytes(statistics.capacity_bytes);
  status.set_occupied_bytes(statistics.occupied_bytes);
  status.set_corrupt_pages(statistics.corrupt_pages);
  status.set_background_errors(statistics.background_errors);
  return status;
}

v1::GetStatusResponse MakeStatusReport(FrontEnd& front_end) {
  v1::GetStatusResponse report;
  report.set_version(kVersionText);
  report.set_reconciled(front_end.reconciled());
  report.set_degraded_shards(static_cast<uint32_t>(front_end.shards_degraded()));
  // In this order: a shard that is told of is among what follows, and what a comparison has found
  // among the pages.
  for (const auto& shard : front_end.shards()) {
    report.add_shards(shard->id());
  }
  report.set_comparisons_due(front_end.comparisons_due());
  report.set_degraded_pages(front_end.degraded_pages());
  report.set_waits_for(front_end.WaitsFor());
  *report.mutable_process() = OwnProcessStatus();
  const std::map<SpaceId, SpaceCounts> counts = front_end.Counts();
  const StatusOr<std::vector<SpaceInfo>> spaces = AwaitFor<std::vector<SpaceInfo>>(
      kWaitMax,
      [&](Callback<std::vector<SpaceInfo>> done) { front_end.ListSpaces(std::move(done)); });
  if (spaces.ok()) {
    for (const SpaceInfo& space : *spaces) {
      const auto it = counts.find(space.id);
      *report.add_spaces() = ToStatus(space, it == counts.end() ? SpaceCounts{} : it->second);
    }
  }
  for (v1::NodeStatus& node : AskNodes(front_end.placement())) {
    *report.add_nodes() = std::move(node);
  }
  return report;
}

}  // namespace vswap
