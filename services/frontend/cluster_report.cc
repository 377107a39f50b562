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
  if (node.left()) {
    return MakeError(StatusCode::kFailedPrecondition, "node: " + node.name() + " has left");
  }
  if (request.action() != v1::DRAIN_ACTION_START && !node.draining()) {
    return MakeError(StatusCode::kFailedPrecondition, "node: " + node.name() + " does not drain");
  }
  return Status();
}

struct KnownNode {
  v1::NodeRecord record;
  std::string key;
  uint64_t revision = 0;
};

StatusOr<KnownNode> FindByName(Coordinator& coordinator, const std::string& name) {
  const auto nodes = List(coordinator, "nodes/");
  VSWAP_RETURN_IF_ERROR(nodes.status());
  for (const KeyValue& entry : *nodes) {
    KnownNode node{{}, entry.key, entry.revision};
    if (node.record.ParseFromString(entry.value) && node.record.name() == name) {
      return node;
    }
  }
  return MakeError(StatusCode::kNotFound, "node: there is no node " + name);
}

// False where its record has changed meanwhile.
StatusOr<bool> Write(Coordinator& coordinator, const KnownNode& node) {
  const auto reply = AwaitFor<TransactionReply>(kCallMax, [&](auto done) {
    coordinator.Commit(
        {{{node.key, node.revision}}, {{node.key, node.record.SerializeAsString()}}, {}},
        std::move(done));
  });
  return reply.ok() ? StatusOr<bool>(reply->succeeded) : reply.status();
}

Status Refuse(const v1::NodeRecord& node, const std::string& why) {
  return MakeError(StatusCode::kFailedPrecondition, "node: " + node.name() + why);
}

Status CheckLogs(Coordinator& coordinator, const v1::NodeRecord& node) {
  const auto shards = List(coordinator, kShardsPrefix);
  VSWAP_RETURN_IF_ERROR(shards.status());
  std::string named;
  for (const KeyValue& entry : *shards) {
    v1::ShardRecord record;
    if (!record.ParseFromString(entry.value)) {
      return DamagedRecord(entry.key);
    }
    if (std::ranges::find(record.replicas(), node.node(), &v1::LogReplica::node) !=
        record.replicas().end()) {
      named += (named.empty() ? "" : ", ") + std::to_string(ShardOfKey(entry.key));
    }
  }
  return named.empty() ? Status()
                       : Refuse(node, " has replicas of the table logs of shards " + named +
                                          ": a drain moves them, also off a node that is gone");
}

// Those in which it is: also in older incarnations, which costs nothing but time.
StatusOr<std::vector<SetId>> SetsOf(Coordinator& coordinator, const v1::NodeRecord& node) {
  google::protobuf::RepeatedPtrField<v1::SetRecord> records;
  VSWAP_RETURN_IF_ERROR(ListInto(coordinator, "sets/", &records));
  std::vector<SetId> sets;
  for (const v1::SetRecord& record : records) {
    if (std::ranges::find(record.nodes(), node.node()) != record.nodes().end()) {
      sets.push_back(static_cast<SetId>(record.set()));
    }
  }
  return sets;
}

// No front-end hears the node, and of no shard a table names it.
Status CheckUse(const FrontEnd& front_end, Coordinator& coordinator, const v1::NodeRecord& node) {
  const auto sets = SetsOf(coordinator, node);
  VSWAP_RETURN_IF_ERROR(sets.status());
  google::protobuf::RepeatedPtrField<v1::ClusterRecord> clusters;
  VSWAP_RETURN_IF_ERROR(ListInto(coordinator, "cluster", &clusters));
  std::vector<NodeUse> uses = {front_end.UseOf(node.node(), *sets)};
  for (const v1::FrontEndRecord& other : front_end.Others()) {
    const auto use = AwaitFor<NodeUse>(kCallMax, [&](auto done) {
      front_end.peers()->GetNodeUse(other, node.node(), *sets, std::move(done));
    });
    if (!use.ok()) {
      return MakeError(StatusCode::kUnavailable,
                       "front-end " + other.name() + ": " + std::string(MessageOf(use.status())));
    }
    uses.push_back(*use);
  }
  std::vector<bool> seen(clusters.empty() ? 1 : clusters[0].shard_count());
  uint64_t pages = 0;
  for (const NodeUse& use : uses) {
    if (use.answers) {
      return Refuse(node, " answers, or did a moment ago: drain it, and stop it");
    }
    pages += use.pages;
    for (const ShardId shard : use.shards) {
      if (shard < seen.size()) {
        seen[shard] = true;
      }
    }
  }
  if (pages > 0) {
    return Refuse(node, " is named by " + std::to_string(pages) +
                            " pages in the tables: a drain, or rebuild, moves them");
  }
  const auto unseen = std::ranges::find(seen, false);
  return unseen == seen.end()
             ? Status()
             : MakeError(StatusCode::kUnavailable,
                         "shard " + std::to_string(unseen - seen.begin()) +
                             " is not served: nobody knows which pages it has on " + node.name());
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
  auto* const nodes = report.mutable_nodes();
  nodes->erase(std::remove_if(nodes->begin(), nodes->end(),
                              [](const v1::NodeRecord& node) { return node.left(); }),
               nodes->end());
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
    StatusOr<KnownNode> node = FindByName(coordinator, request.node());
    VSWAP_RETURN_IF_ERROR(node.status());
    VSWAP_RETURN_IF_ERROR(CheckAction(request, node->record));
    uint64_t pages = 0;
    for (const v1::NodeStatus& status : AskNodes(placement)) {
      pages = status.node() == node->record.node() ? status.pages() : pages;
    }
    Apply(request, pages, &node->record);
    const StatusOr<bool> written = Write(coordinator, *node);
    VSWAP_RETURN_IF_ERROR(written.status());
    if (*written) {
      return Status();
    }
  }
  return MakeError(StatusCode::kAborted, "others change the node's record all the time");
}

Status ForgetNode(const FrontEnd& front_end, Coordinator& coordinator, const std::string& name) {
  StatusOr<KnownNode> node = FindByName(coordinator, name);
  VSWAP_RETURN_IF_ERROR(node.status());
  if (node->record.left()) {
    return Status();
  }
  VSWAP_RETURN_IF_ERROR(CheckLogs(coordinator, node->record));
  VSWAP_RETURN_IF_ERROR(CheckUse(front_end, coordinator, node->record));
  node->record.set_left(true);
  const StatusOr<bool> written = Write(coordinator, *node);
  VSWAP_RETURN_IF_ERROR(written.status());
  return *written ? Status()
                  : MakeError(StatusCode::kAborted, "node: " + name + " registers just now");
}

}  // namespace vswap
