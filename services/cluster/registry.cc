#include "services/cluster/registry.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <thread>

#include "services/cluster/await.h"
#include "services/cluster/set_rules.h"
#include "services/common/ids.h"

namespace vswap {
namespace {

constexpr auto kCallMax = std::chrono::seconds(30);
constexpr auto kClusterWaitMax = std::chrono::seconds(60);
constexpr auto kClusterPoll = std::chrono::milliseconds(100);
constexpr int kTriesMax = 16;
constexpr char kClusterKey[] = "cluster";

StatusOr<std::vector<KeyValue>> List(Coordinator& coordinator, const std::string& prefix) {
  return AwaitFor<std::vector<KeyValue>>(
      kCallMax, [&](auto done) { coordinator.List(prefix, std::move(done)); });
}

StatusOr<TransactionReply> Commit(Coordinator& coordinator, const Transaction& transaction) {
  return AwaitFor<TransactionReply>(
      kCallMax, [&](auto done) { coordinator.Commit(transaction, std::move(done)); });
}

template <typename Record>
struct Known {
  Record record;
  uint64_t revision = 0;
};

template <typename Record>
StatusOr<std::vector<Known<Record>>> ListRecords(Coordinator& coordinator,
                                                 const std::string& prefix) {
  const StatusOr<std::vector<KeyValue>> found = List(coordinator, prefix);
  if (!found.ok()) {
    return found.status();
  }
  std::vector<Known<Record>> records;
  for (const KeyValue& entry : *found) {
    Known<Record> known;
    known.revision = entry.revision;
    if (!known.record.ParseFromString(entry.value)) {
      return DamagedRecord(entry.key);
    }
    records.push_back(std::move(known));
  }
  return records;
}

template <typename Record>
StatusOr<std::vector<Record>> ListPlain(Coordinator& coordinator, const std::string& prefix) {
  const auto found = ListRecords<Record>(coordinator, prefix);
  if (!found.ok()) {
    return found.status();
  }
  std::vector<Record> records;
  for (const auto& known : *found) {
    records.push_back(known.record);
  }
  return records;
}

StatusOr<std::vector<v1::SetRecord>> ListSets(Coordinator& coordinator) {
  return ListPlain<v1::SetRecord>(coordinator, "sets/");
}

Status CheckSetNumber(uint32_t set) {
  return set <= kSetIdMax
             ? Status()
             : MakeError(StatusCode::kResourceExhausted,
                         "all " + std::to_string(kSetIdMax) + " numbers of sets are used up");
}

// Adds a set of the node alone, unless there is one.
Status AddOwnSet(const std::vector<v1::SetRecord>& sets, const v1::NodeRecord& node,
                 bool same_number, Transaction* transaction) {
  const bool there = std::ranges::any_of(sets, [&](const v1::SetRecord& set) {
    return set.nodes_size() == 1 && set.nodes(0) == node.node();
  });
  if (there) {
    return Status();
  }
  v1::SetRecord own;
  own.set_set(same_number ? node.node() : NextSetNumber(sets));
  VSWAP_RETURN_IF_ERROR(CheckSetNumber(own.set()));
  own.set_tier(node.tier());
  own.add_nodes(node.node());
  const std::string key = NumberedKey("sets", own.set());
  transaction->compares.push_back({key, 0});
  transaction->puts.push_back({key, own.SerializeAsString()});
  return Status();
}

// The same data goes on moving away; an empty node begins without a drain. The fields are set each
// time: another try may find another record.
void KeepDrain(const v1::NodeRecord& known, v1::NodeRecord* wanted) {
  const bool same = known.incarnation() == wanted->incarnation();
  wanted->set_draining(same && known.draining());
  wanted->set_drain_paused(same && known.drain_paused());
  wanted->set_drain_pages_per_second(same ? known.drain_pages_per_second() : 0);
  wanted->set_drain_pages(same ? known.drain_pages() : 0);
}

// A node may come to another machine with its data, but not to that of one it shares a set with.
Status CheckMachine(const std::vector<Known<v1::NodeRecord>>& nodes,
                    const std::vector<v1::SetRecord>& sets, const v1::NodeRecord& node) {
  for (const auto& known : nodes) {
    const v1::NodeRecord& other = known.record;
    const bool shared = std::ranges::any_of(
        sets, [&](const v1::SetRecord& set) { return IsIn(set, node) && IsIn(set, other); });
    if (other.node() != node.node() && other.machine() == node.machine() && shared &&
        !other.left()) {
      return MakeError(StatusCode::kFailedPrecondition,
                       "machine: " + node.name() + " and " + other.name() +
                           " keep copies of the same pages and cannot both be on " +
                           node.machine());
    }
  }
  return Status();
}

// The cluster's record; while there is none `on_none` may make it: where that fails it is called
// again after a while.
StatusOr<v1::ClusterRecord> AwaitCluster(Coordinator& coordinator,
                                         const std::function<Status()>& on_none) {
  const TimePoint deadline = std::chrono::steady_clock::now() + kClusterWaitMax;
  while (true) {
    const auto found = ListRecords<v1::ClusterRecord>(coordinator, kClusterKey);
    if (found.ok() && !found->empty()) {
      return found->front().record;
    }
    const Status why = found.ok() ? on_none() : found.status();
    if (std::chrono::steady_clock::now() > deadline) {
      return why.ok() ? MakeError(StatusCode::kAborted, "the cluster's record comes and goes")
                      : why;
    }
    if (!why.ok()) {
      std::this_thread::sleep_for(kClusterPoll);
    }
  }
}

}  // namespace

Status DamagedRecord(const std::string& key) {
  return MakeError(StatusCode::kDataLoss, "coordinator: the record " + key + " cannot be read");
}

std::string NumberedKey(const char* prefix, uint32_t number) {
  char key[32];
  std::snprintf(key, sizeof(key), "%s/%05u", prefix, number);
  return key;
}

uint64_t UnixTimeMs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

StatusOr<v1::ClusterRecord> FindOrMakeCluster(Coordinator& coordinator,
                                              const v1::ClusterRecord& wanted, Random& random) {
  return AwaitCluster(coordinator, [&] {
    v1::ClusterRecord made = wanted;
    made.set_cluster(random.Next64());
    return Commit(coordinator, {{{kClusterKey, 0}}, {{kClusterKey, made.SerializeAsString()}}, {}})
        .status();
  });
}

StatusOr<v1::ClusterRecord> FindCluster(Coordinator& coordinator) {
  return AwaitCluster(coordinator, [] {
    return MakeError(StatusCode::kUnavailable, "there is no cluster yet: start a front-end first");
  });
}

StatusOr<std::vector<v1::NodeRecord>> ListNodes(Coordinator& coordinator) {
  return ListPlain<v1::NodeRecord>(coordinator, "nodes/");
}

StatusOr<std::optional<v1::NodeRecord>> FindNode(Coordinator& coordinator,
                                                 const std::string& name) {
  const auto nodes = ListNodes(coordinator);
  if (!nodes.ok()) {
    return nodes.status();
  }
  const auto it = std::ranges::find(*nodes, name, &v1::NodeRecord::name);
  return it == nodes->end() ? std::nullopt : std::optional(*it);
}

StatusOr<v1::NodeRecord> RegisterNode(Coordinator& coordinator, v1::NodeRecord wanted) {
  const uint32_t asked = wanted.node();
  for (int i = 0; i < kTriesMax; ++i) {
    const auto nodes = ListRecords<v1::NodeRecord>(coordinator, "nodes/");
    if (!nodes.ok()) {
      return nodes.status();
    }
    uint64_t revision = 0;
    uint32_t next = 1;
    wanted.set_node(asked);
    for (const auto& known : *nodes) {
      next = std::max(next, known.record.node() + 1);
      if (known.record.name() != wanted.name()) {
        continue;
      }
      if (known.record.tier() != wanted.tier()) {
        return MakeError(StatusCode::kFailedPrecondition,
                         "id: " + wanted.name() + " is the name of a node of the other tier");
      }
      wanted.set_node(known.record.node());
      KeepDrain(known.record, &wanted);
      revision = known.revision;
    }
    if (wanted.node() == 0) {
      wanted.set_node(next);
    }
    const std::string key = NumberedKey("nodes", wanted.node());
    const auto sets = ListSets(coordinator);
    VSWAP_RETURN_IF_ERROR(sets.status());
    Transaction transaction{{{key, revision}}, {{key, wanted.SerializeAsString()}}, {}};
    VSWAP_RETURN_IF_ERROR(CheckMachine(*nodes, *sets, wanted));
    VSWAP_RETURN_IF_ERROR(AddOwnSet(*sets, wanted, asked != 0, &transaction));
    const auto reply = Commit(coordinator, transaction);
    if (!reply.ok()) {
      return reply.status();
    }
    if (reply->succeeded) {
      return wanted;
    }
  }
  return MakeError(StatusCode::kAborted, "others change the records of nodes all the time");
}

StatusOr<Transaction> MakeSet(const v1::SetRecord& set,
                              const std::map<uint32_t, uint64_t>& revisions) {
  VSWAP_RETURN_IF_ERROR(CheckSetNumber(set.set()));
  const std::string key = NumberedKey("sets", set.set());
  Transaction transaction{{{key, 0}}, {{key, set.SerializeAsString()}}, {}};
  for (const uint32_t node : set.nodes()) {
    transaction.compares.push_back({NumberedKey("nodes", node), revisions.at(node)});
  }
  return transaction;
}

Status JoinSets(Coordinator& coordinator, const v1::NodeRecord& node, uint32_t copies) {
  for (int i = 0; i < kTriesMax; ++i) {
    const auto known = ListRecords<v1::NodeRecord>(coordinator, "nodes/");
    VSWAP_RETURN_IF_ERROR(known.status());
    std::vector<v1::NodeRecord> nodes;
    std::map<uint32_t, uint64_t> revisions;
    for (const auto& other : *known) {
      revisions[other.record.node()] = other.revision;
      if (!IsDraining(other.record) && !other.record.left()) {
        nodes.push_back(other.record);
      }
    }
    const auto sets = ListSets(coordinator);
    VSWAP_RETURN_IF_ERROR(sets.status());
    const std::optional<v1::SetRecord> missing =
        FindMissingSet(nodes, *sets, node, copies, kSetsOfNewNode);
    if (!missing) {
      return Status();
    }
    const auto transaction = MakeSet(*missing, revisions);
    VSWAP_RETURN_IF_ERROR(transaction.status());
    VSWAP_RETURN_IF_ERROR(Commit(coordinator, *transaction).status());
  }
  return MakeError(StatusCode::kAborted, "others change the records of sets all the time");
}

}  // namespace vswap
