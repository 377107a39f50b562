#include "services/frontend/cluster_report.h"

#include <algorithm>
#include <charconv>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "services/cluster/await.h"
#include "services/cluster/registry.h"
#include "services/frontend/status_report.h"

namespace vswap {
namespace {

constexpr auto kCallMax = std::chrono::seconds(2);
constexpr auto kStatisticsMax = std::chrono::seconds(1);
constexpr char kShardsPrefix[] = "shards/";
constexpr int kTriesMax = 8;

StatusOr<std::vector<KeyValue>> List(Coordinator& coordinator, const std::string& prefix) {
  return AwaitFor<std::vector<KeyValue>>(
      kCallMax, [&](auto done) { coordinator.List(prefix, std::move(done)); });
}

// Adds each record to the field.
template <typename Record>
Status ListInto(Coordinator& coordinator, const std::string& prefix,
                google::protobuf::RepeatedPtrField<Record>* records) {
  const auto found = List(coordinator, prefix);
  VSWAP_RETURN_IF_ERROR(found.status());
  for (const KeyValue& entry : *found) {
    if (!records->Add()->ParseFromString(entry.value)) {
      return DamagedRecord(entry.key);
    }
  }
  return Status();
}

uint32_t ShardOfKey(const std::string& key) {
  uint32_t number = 0;
  std::from_chars(key.data() + sizeof(kShardsPrefix) - 1, key.data() + key.size(), number);
  return number;
}

Status CheckAction(const v1::DrainRequest& request, const v1::NodeRecord& node) {
  if (request.action() < v1::DRAIN_ACTION_START || request.action() > v1::DRAIN_ACTION_CANCEL) {
    return InvalidField("action", std::to_string(request.action()),
                        "1 (START), 2 (PAUSE), 3 (RESUME), 4 (CANCEL)");
  }
  if (request.action() != v1::DRAIN_ACTION_START && !node.draining()) {
    return MakeError(StatusCode::kFailedPrecondition, "node: " + node.name() + " does not drain");
  }
  return Status();
}

void Apply(const v1::DrainRequest& request, uint64_t pages, v1::NodeRecord* node) {
  switch (request.action()) {
    case v1::DRAIN_ACTION_START:
      node->set_drain_pages(node->draining() ? node->drain_pages() : pages);
      node->set_draining(true);
      node->set_drain_paused(false);
      node->set_drain_pages_per_second(request.pages_per_second());
      break;
    case v1::DRAIN_ACTION_PAUSE:
    case v1::DRAIN_ACTION_RESUME:
      node->set_drain_paused(request.action() == v1::DRAIN_ACTION_PAUSE);
      break;
    default:
      node->clear_draining();
      node->clear_drain_paused();
      node->clear_drain_pages_per_second();
      node->clear_drain_pages();
      break;
  }
}

}  // namespace

std::vector<v1::NodeStatus> AskNodes(const Placement& placement) {
  using Answer = std::future<StatusOr<NodeStatistics>>;
  const std::vector<const Placement::Member*> members = placement.Members();
  std::vector<Answer> answers;
  for (const Placement::Member* member : members) {
    const auto promise = std::make_shared<std::promise<StatusOr<NodeStatistics>>>();
    answers.push_back(promise->get_future());
    member->node->Statistics([promise](StatusOr<NodeStatistics> statistics) {
      promise->set_value(std::move(statistics));
    });
  }
  // All together: those that are silent cost a second, not one each.
  const auto deadline = std::chrono::steady_clock::now() + kStatisticsMax;
  std::vector<v1::NodeStatus> statuses;
  for (size_t i = 0; i < members.size(); ++i) {
    if (answers[i].wait_until(deadline) != std::future_status::ready) {
      continue;
    }
    if (const StatusOr<NodeStatistics> statistics = answers[i].get(); statistics.ok()) {
      v1::NodeStatus& status = statuses.emplace_back(
          ToNodeStatus(members[i]->id, members[i]->tier, members[i]->name, *statistics));
      status.set_draining(members[i]->draining);
    }
  }
  return statuses;
}

StatusOr<v1::GetClusterResponse> ReportCluster(const Placement& placement,
                                               Coordinator& coordinator) {
  v1::GetClusterResponse report;
  google::protobuf::RepeatedPtrField<v1::ClusterRecord> clusters;
  VSWAP_RETURN_IF_ERROR(ListInto(coordinator, "cluster", &clusters));
  if (!clusters.empty()) {
    *report.mutable_cluster() = clusters[0];
  }
  VSWAP_RETURN_IF_ERROR(ListInto(coordinator, "frontends/", report.mutable_front_ends()));
  VSWAP_RETURN_IF_ERROR(ListInto(coordinator, "nodes/", report.mutable_nodes()));
  const auto shards = List(coordinator, kShardsPrefix);
  VSWAP_RETURN_IF_ERROR(shards.status());
  for (const KeyValue& entry : *shards) {
    if (!(*report.mutable_shards())[ShardOfKey(entry.key)].ParseFromString(entry.value)) {
      return DamagedRecord(entry.key);
    }
  }
  for (v1::NodeStatus& status : AskNodes(placement)) {
    *report.add_statuses() = std::move(status);
  }
  return report;
}

Status ChangeDrain(const Placement& placement, Coordinator& coordinator,
                   const v1::DrainRequest& request) {
  for (int i = 0; i < kTriesMax; ++i) {
    const auto nodes = List(coordinator, "nodes/");
    VSWAP_RETURN_IF_ERROR(nodes.status());
    v1::NodeRecord record;
    const auto entry = std::ranges::find_if(*nodes, [&](const KeyValue& node) {
      return record.ParseFromString(node.value) && record.name() == request.node();
    });
    if (entry == nodes->end()) {
      return MakeError(StatusCode::kNotFound, "node: there is no node " + request.node());
    }
    VSWAP_RETURN_IF_ERROR(CheckAction(request, record));
    uint64_t pages = 0;
    for (const v1::NodeStatus& status : AskNodes(placement)) {
      pages = status.node() == record.node() ? status.pages() : pages;
    }
    Apply(request, pages, &record);
    const auto reply = AwaitFor<TransactionReply>(kCallMax, [&](auto done) {
      coordinator.Commit(
          {{{entry->key, entry->revision}}, {{entry->key, record.SerializeAsString()}}, {}},
          std::move(done));
    });
    VSWAP_RETURN_IF_ERROR(reply.status());
    if (reply->succeeded) {
      return Status();
    }
  }
  return MakeError(StatusCode::kAborted, "others change the node's record all the time");
}

}  // namespace vswap
