#include "client/ctl/cluster_text.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "client/ctl/table.h"
#include "proto/space_status.h"
#include "services/cluster/set_rules.h"
#include "services/common/fill.h"

namespace vswap {
namespace {

using Json = nlohmann::ordered_json;

const v1::NodeStatus* StatusOf(const v1::GetClusterResponse& cluster, uint32_t node) {
  const auto it = std::ranges::find(cluster.statuses(), node, &v1::NodeStatus::node);
  return it == cluster.statuses().end() ? nullptr : &*it;
}

double FillOf(const v1::NodeStatus& node) {
  return vswap::FillOf(node.pages(), node.pages_capacity(), node.occupied_bytes(),
                       node.capacity_bytes());
}

const char* StateOf(const v1::NodeRecord& node, const v1::NodeStatus* status) {
  if (status == nullptr) {
    return "silent";
  }
  if (status->incarnation() != node.incarnation()) {
    return "joining";  // what answers is not registered yet
  }
  return !node.draining() ? "serving" : node.drain_paused() ? "drain paused" : "draining";
}

uint64_t LogReplicasOn(const v1::GetClusterResponse& cluster, uint32_t node) {
  uint64_t count = 0;
  for (const auto& [id, shard] : cluster.shards()) {
    count +=
        static_cast<uint64_t>(std::ranges::count(shard.replicas(), node, &v1::LogReplica::node));
  }
  return count;
}

// In the order of their numbers.
std::map<uint32_t, v1::ShardRecord> ShardsOf(const v1::GetClusterResponse& cluster) {
  return {cluster.shards().begin(), cluster.shards().end()};
}

// Null: none lives.
const v1::FrontEndRecord* FindOwner(const v1::GetClusterResponse& cluster,
                                    const v1::ShardRecord& shard) {
  const auto it =
      std::ranges::find_if(cluster.front_ends(), [&](const v1::FrontEndRecord& front_end) {
        return front_end.name() == shard.owner() && front_end.process() == shard.owner_process();
      });
  return it == cluster.front_ends().end() ? nullptr : &*it;
}

// A front-end that is alone has no record of its own.
bool OwnerLives(const v1::GetClusterResponse& cluster, const v1::ShardRecord& shard) {
  return !shard.owner().empty() &&
         (shard.owner_process() == 0 || FindOwner(cluster, shard) != nullptr);
}

// Empty: it has everything, and its store answers.
const char* StateOf(const v1::GetClusterResponse& cluster, const v1::LogReplica& replica) {
  const auto node = std::ranges::find(cluster.nodes(), replica.node(), &v1::NodeRecord::node);
  const bool is_gone =
      node == cluster.nodes().end() ||
      (replica.incarnation() != 0 && replica.incarnation() != LogIncarnation(*node));
  return is_gone                                        ? "gone"
         : StatusOf(cluster, replica.node()) == nullptr ? "silent"
         : !replica.full()                              ? "filling"
                                                        : "";
}

std::string NameOf(const v1::GetClusterResponse& cluster, uint32_t node) {
  const auto it = std::ranges::find(cluster.nodes(), node, &v1::NodeRecord::node);
  return it == cluster.nodes().end() ? std::to_string(node) : it->name();
}

std::string ReplicasOf(const v1::GetClusterResponse& cluster, const v1::ShardRecord& shard) {
  std::string text;
  for (const v1::LogReplica& replica : shard.replicas()) {
    const std::string state = StateOf(cluster, replica);
    text += (text.empty() ? "" : ", ") + NameOf(cluster, replica.node()) +
            (state.empty() ? "" : " (" + state + ")");
  }
  return text.empty() ? "-" : text;
}

}  // namespace

std::string NodesAsTable(const v1::GetClusterResponse& cluster) {
  std::vector<Row> rows = {
      {"NODE", "TIER", "STATE", "MACHINE", "ZONE", "PAGES", "FULL", "LOGS", "ADDRESS"}};
  for (const v1::NodeRecord& node : cluster.nodes()) {
    const v1::NodeStatus* const status = StatusOf(cluster, node.node());
    rows.push_back({node.name(), TierName(node.tier()), StateOf(node, status),
                    node.machine().empty() ? "-" : node.machine(),
                    node.zone().empty() ? "-" : node.zone(),
                    status == nullptr ? "?" : std::to_string(status->pages()),
                    status == nullptr ? "?" : fmt::format("{:.0f} %", 100 * FillOf(*status)),
                    std::to_string(LogReplicasOn(cluster, node.node())),
                    node.address().empty() ? "-" : node.address()});
  }
  return Table(rows);
}

std::string NodesAsJson(const v1::GetClusterResponse& cluster) {
  Json json = Json::array();
  for (const v1::NodeRecord& node : cluster.nodes()) {
    const v1::NodeStatus* const status = StatusOf(cluster, node.node());
    json.push_back({{"node", node.node()},
                    {"name", node.name()},
                    {"tier", TierName(node.tier())},
                    {"state", StateOf(node, status)},
                    {"machine", node.machine()},
                    {"zone", node.zone()},
                    {"address", node.address()},
                    {"incarnation", node.incarnation()},
                    {"log_incarnation", LogIncarnation(node)},
                    {"pages", status == nullptr ? Json() : Json(status->pages())},
                    {"fill", status == nullptr ? Json() : Json(FillOf(*status))},
                    {"log_replicas", LogReplicasOn(cluster, node.node())}});
  }
  return json.dump(2) + "\n";
}

std::string ShardsAsTable(const v1::GetClusterResponse& cluster) {
  std::vector<Row> rows = {{"SHARD", "OWNER", "EPOCH", "LOG REPLICAS"}};
  for (const auto& [id, shard] : ShardsOf(cluster)) {
    rows.push_back({std::to_string(id),
                    shard.owner().empty()        ? "-"
                    : OwnerLives(cluster, shard) ? shard.owner()
                                                 : shard.owner() + " (dead)",
                    std::to_string(shard.epoch()), ReplicasOf(cluster, shard)});
  }
  return Table(rows);
}

std::string ShardsAsJson(const v1::GetClusterResponse& cluster) {
  Json json = Json::array();
  for (const auto& [id, shard] : ShardsOf(cluster)) {
    Json replicas = Json::array();
    for (const v1::LogReplica& replica : shard.replicas()) {
      replicas.push_back({{"node", replica.node()},
                          {"name", NameOf(cluster, replica.node())},
                          {"full", replica.full()},
                          {"state", StateOf(cluster, replica)}});
    }
    json.push_back({{"shard", id},
                    {"owner", shard.owner()},
                    {"owner_lives", OwnerLives(cluster, shard)},
                    {"epoch", shard.epoch()},
                    {"times_given_up", shard.times_given_up()},
                    {"log_replicas", replicas}});
  }
  return json.dump(2) + "\n";
}

std::string OwnerAddress(const v1::GetClusterResponse& cluster, uint32_t shard) {
  const auto it = cluster.shards().find(shard);
  const v1::FrontEndRecord* const owner =
      it == cluster.shards().end() ? nullptr : FindOwner(cluster, it->second);
  return owner == nullptr ? "" : owner->address();
}

std::vector<Job> JobsOf(const v1::GetClusterResponse& cluster,
                        const std::vector<v1::GetStatusResponse>& front_ends) {
  uint64_t degraded = 0;
  std::string waits_for;
  for (const v1::GetStatusResponse& front_end : front_ends) {
    degraded += front_end.degraded_pages();
    waits_for = front_end.waits_for().empty() ? waits_for : front_end.waits_for();
  }
  std::vector<Job> jobs;
  bool moving = false;
  for (const v1::NodeRecord& node : cluster.nodes()) {
    if (!node.draining()) {
      continue;
    }
    const v1::NodeStatus* const status = StatusOf(cluster, node.node());
    Job job;
    job.name = "drain " + node.name();
    job.pages_left = status == nullptr ? node.drain_pages() : status->pages();
    job.pages_total = std::max(node.drain_pages(), job.pages_left);
    job.log_replicas_left = LogReplicasOn(cluster, node.node());
    job.pages_per_second = node.drain_pages_per_second();
    if (node.drain_paused()) {
      job.state = "paused";
    } else if (status == nullptr) {
      job.state = "waiting";
      job.waits_for = "the node: it does not answer";
    } else if (job.pages_left == 0 && job.log_replicas_left == 0) {
      job.state = "done";
    } else {
      job.state = waits_for.empty() ? "running" : "waiting";
      job.waits_for = waits_for;
      moving = true;
    }
    jobs.push_back(std::move(job));
  }
  // A drain is told by its own line.
  if (degraded > 0 && !moving) {
    jobs.push_back({.name = "rebuild",
                    .state = waits_for.empty() ? "running" : "waiting",
                    .pages_left = degraded,
                    .waits_for = waits_for});
  }
  return jobs;
}

std::string DrainAsText(const Job& job) {
  return fmt::format("{}: {}, {} of {} pages and {} table logs left{}", job.name, job.state,
                     job.pages_left, job.pages_total, job.log_replicas_left,
                     job.waits_for.empty() ? "" : "; waits for " + job.waits_for);
}

std::string JobsAsTable(const std::vector<Job>& jobs) {
  std::vector<Row> rows = {
      {"JOB", "STATE", "PAGES LEFT", "OF", "LOGS LEFT", "PAGES/S", "WAITS FOR"}};
  for (const Job& job : jobs) {
    rows.push_back({job.name, job.state, std::to_string(job.pages_left),
                    OrNone(job.pages_total, std::to_string(job.pages_total)),
                    std::to_string(job.log_replicas_left),
                    OrNone(job.pages_per_second, std::to_string(job.pages_per_second)),
                    job.waits_for.empty() ? "-" : job.waits_for});
  }
  return Table(rows);
}

std::string JobsAsJson(const std::vector<Job>& jobs) {
  Json json = Json::array();
  for (const Job& job : jobs) {
    json.push_back({{"job", job.name},
                    {"state", job.state},
                    {"pages_left", job.pages_left},
                    {"pages_total", job.pages_total},
                    {"log_replicas_left", job.log_replicas_left},
                    {"pages_per_second", job.pages_per_second},
                    {"waits_for", job.waits_for}});
  }
  return json.dump(2) + "\n";
}

Redundancy RedundancyOf(const v1::GetClusterResponse& cluster,
                        const std::vector<v1::GetStatusResponse>& front_ends) {
  Redundancy redundancy;
  redundancy.shards = cluster.cluster().shard_count();
  std::set<uint32_t> served;
  for (const v1::GetStatusResponse& front_end : front_ends) {
    served.insert(front_end.shards().begin(), front_end.shards().end());
    redundancy.shards_degraded += front_end.degraded_shards();
    redundancy.pages_degraded += front_end.degraded_pages();
    redundancy.comparisons_due += front_end.comparisons_due();
    redundancy.waits_for =
        front_end.waits_for().empty() ? redundancy.waits_for : front_end.waits_for();
  }
  redundancy.shards_unserved = redundancy.shards - static_cast<uint32_t>(served.size());
  return redundancy;
}

std::string RedundancyAsText(const Redundancy& redundancy) {
  if (redundancy.full()) {
    return "redundancy: full\n";
  }
  return fmt::format(
      "redundancy: {} of {} shards not served, {} with too few table logs; {} pages with too few "
      "copies{}{}\n",
      redundancy.shards_unserved, redundancy.shards, redundancy.shards_degraded,
      redundancy.pages_degraded,
      redundancy.comparisons_due == 0 ? ""
                                      : fmt::format("; {} comparisons of tables with nodes to come",
                                                    redundancy.comparisons_due),
      redundancy.waits_for.empty() ? "" : "; waits for " + redundancy.waits_for);
}

v1::GetStatusResponse Sum(const std::vector<v1::GetStatusResponse>& front_ends) {
  v1::GetStatusResponse sum;
  std::map<std::string, v1::SpaceStatus> spaces;
  for (const v1::GetStatusResponse& front_end : front_ends) {
    for (const v1::SpaceStatus& space : front_end.spaces()) {
      const auto [it, first] = spaces.try_emplace(space.name(), space);
      if (!first) {
        AddPages(space, &it->second);
      }
    }
  }
  for (const auto& [name, space] : spaces) {
    *sum.add_spaces() = space;
  }
  return sum;
}

}  // namespace vswap
