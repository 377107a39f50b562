#include "tests/sim/sim_front_end.h"

#include <map>

#include "services/cluster/circuit_breaker.h"
#include "services/cluster/set_rules.h"
#include "vswap/v1/cluster.pb.h"

namespace vswap {
namespace {

constexpr char kNodesPrefix[] = "nodes/";
constexpr char kSetsPrefix[] = "sets/";
constexpr Duration kRefreshRetry = std::chrono::milliseconds(100);
// Narrow enough that calls wait and are refused, but not the loads of the end, which may all wait
// for one node.
const CircuitBreaker::Options kBreaker{.calls_max = 4, .waiting_max = 64, .failures_max = 4};

}  // namespace

// Nodes and sets as this process knows them: what its records of the coordinator tell.
class SimFrontEnd::Directory : public LogNodes {
 public:
  struct Calls {
    Node* node = nullptr;
    TableLog* log = nullptr;  // null: not a store
  };
  void Add(NodeId id, const Calls& calls) { calls_[id] = calls; }
  // Whether a node answers is told by it.
  void Follow(Placement& placement) { placement_ = &placement; }

  // Which of them have registered since they were last taken.
  std::vector<NodeId> TakeNodes(const std::vector<KeyValue>& entries) {
    std::vector<NodeId> registered;
    for (const KeyValue& entry : entries) {
      v1::NodeRecord record;
      record.ParseFromString(entry.value);
      Known& known = known_[record.node()];
      if (entry.revision > known.revision) {
        if (known.record.registered_at_ms() != record.registered_at_ms()) {
          registered.push_back(record.node());
        }
        known = {record, entry.revision};
        placement_->AddNode({record.node(), static_cast<Tier>(record.tier()), record.name(),
                             record.incarnation(), calls_.at(record.node()).node,
                             record.draining()});
      }
    }
    return registered;
  }
  // How long ago it has registered.
  Duration SinceStart(NodeId node, TimePoint now) const {
    const std::chrono::milliseconds at(known_.at(node).record.registered_at_ms());
    return now.time_since_epoch() - at;
  }
  void TakeSets(const std::vector<KeyValue>& entries) {
    for (const KeyValue& entry : entries) {
      v1::SetRecord record;
      record.ParseFromString(entry.value);
      placement_->AddSet(static_cast<SetId>(record.set()), static_cast<Tier>(record.tier()),
                         {record.nodes().begin(), record.nodes().end()},
                         {record.incarnations().begin(), record.incarnations().end()});
    }
  }

  std::vector<Store> Stores() override {
    std::vector<Store> stores;
    for (const auto& [id, known] : known_) {
      if (TableLog* const log = calls_.at(id).log) {
        const v1::NodeRecord& record = known.record;
        stores.push_back({.node = id,
                          .incarnation = LogIncarnation(record),
                          .machine = record.machine(),
                          .zone = record.zone(),
                          .draining = record.draining(),
                          .answers = placement_->Find(id)->answers,
                          .log = log});
      }
    }
    return stores;
  }

 private:
  struct Known {
    v1::NodeRecord record;
    uint64_t revision = 0;
  };
  Placement* placement_ = nullptr;
  std::map<NodeId, Calls> calls_;
  std::map<NodeId, Known> known_;
};

class SimFrontEnd::Others : public Peers {
 public:
  explicit Others(SimFrontEnd& self) : self_(self) {}

  void RaiseToken(const v1::FrontEndRecord& front_end, const v1::SpaceRecord& space,
                  Callback<std::vector<ShardEpoch>> done) override {
    SimFrontEnd* const other = self_.cluster_.find(front_end.address());
    if (other == nullptr) {
      self_.process_.Post([done = std::move(done)] {
        done(MakeError(StatusCode::kUnavailable, "there is no such front-end"));
      });
      return;
    }
    self_.cluster_.network.Call<std::vector<ShardEpoch>>(
        "token", self_.process_, other->process(),
        [other, space](Callback<std::vector<ShardEpoch>> answer) {
          other->front_end().RaiseToken(space, std::move(answer));
        },
        std::move(done));
  }
  // No node of a simulation leaves for good.
  void GetNodeUse(const v1::FrontEndRecord&, NodeId, const std::vector<SetId>&,
                  Callback<NodeUse> done) override {
    done(MakeError(StatusCode::kUnavailable, "nobody asks"));
  }

 private:
  SimFrontEnd& self_;
};

SimFrontEnd::SimFrontEnd(const Cluster& cluster, std::string id, uint64_t process_id, uint64_t seed,
                         Handlers handlers)
    : cluster_(cluster),
      handlers_(std::move(handlers)),
      id_(std::move(id)),
      process_(cluster.world, id_ + "#" + std::to_string(process_id), process_id, seed),
      directory_(std::make_unique<Directory>()),
      others_(std::make_unique<Others>(*this)),
      coordinator_(cluster.network, process_, cluster.coordinator,
                   cluster.bug == PlantedBug::kUnprovenLoads) {
  MakeNodes();
  front_end_ =
      std::make_unique<FrontEnd>(FrontEnd::Options{.id = id_,
                                                   .writeback = cluster_.writeback,
                                                   .peers = others_.get(),
                                                   .clock = &cluster_.world,
                                                   .redundancy = cluster_.redundancy,
                                                   .compare_every = cluster_.compare_every},
                                 coordinator_, *directory_, MakePlacement(), process_);
  directory_->Follow(front_end_->placement());
}

SimFrontEnd::~SimFrontEnd() { Kill(); }

void SimFrontEnd::MakeNodes() {
  std::vector<Node*> nodes;
  for (SimServer* server : cluster_.servers) {
    nodes_.push_back(
        std::make_unique<SimNode>(cluster_.network, process_, *server, cluster_.on_put));
    nodes.push_back(nodes_.back().get());
  }
  const auto registered = [this](NodeId node) {
    return front_end_->placement().Find(node)->incarnation.load();
  };
  for (auto& planted : PlantAtNodes(cluster_.bug, nodes, registered, process_)) {
    nodes[nodes_.size() - nodes.size()] = planted.get();
    nodes_.push_back(std::move(planted));
  }
  for (size_t i = 0; i < nodes.size(); ++i) {
    SimServer& server = *cluster_.servers[i];
    TableLog* log = nullptr;
    if (server.info.tier == Tier::kPhysical) {
      logs_.push_back(MakeLog(server));
      log = logs_.back().get();
    }
    nodes_.push_back(std::make_unique<CircuitBreaker>(*nodes[i], kBreaker, cluster_.world));
    directory_->Add(server.info.id, {nodes_.back().get(), log});
  }
}

std::unique_ptr<TableLog> SimFrontEnd::MakeLog(SimServer& server) {
  auto log =
      std::make_unique<SimTableLog>(cluster_.network, process_, server, handlers_.on_accepted);
  auto planted = PlantAtOwner(cluster_.bug, *log, process_);
  if (planted == nullptr) {
    return log;
  }
  logs_.push_back(std::move(log));
  return planted;
}

Placement SimFrontEnd::MakePlacement() const {
  Placement placement;
  placement.Want(Tier::kCompressed, cluster_.compressed_copies);
  placement.Want(Tier::kPhysical, cluster_.physical_copies);
  return placement;
}

// Nodes after sets, as the role does.
void SimFrontEnd::Refresh(std::function<void(Status)> done) {
  coordinator_.List(
      kSetsPrefix, [this, done = std::move(done)](const StatusOr<std::vector<KeyValue>>& sets) {
        if (!sets.ok()) {
          return done(sets.status());
        }
        coordinator_.List(kNodesPrefix,
                          [this, sets = *sets, done](const StatusOr<std::vector<KeyValue>>& nodes) {
                            if (nodes.ok()) {
                              const auto registered = directory_->TakeNodes(*nodes);
                              directory_->TakeSets(sets);
                              NoteStarts(registered);
                            }
                            done(nodes.status());
                          });
      });
}

// What nodes have lost meanwhile is looked for.
void SimFrontEnd::NoteStarts(const std::vector<NodeId>& registered) {
  for (const NodeId node : registered) {
    joining_ ? front_end_->CompareWith(node)
             : front_end_->NoteStart(node, directory_->SinceStart(node, cluster_.world.Now()));
  }
}

void SimFrontEnd::RefreshUntilDone() {
  Refresh([this](const Status& status) {
    if (!status.ok()) {
      process_.PostAfter(kRefreshRetry, [this] { RefreshUntilDone(); });
    }
  });
}

void SimFrontEnd::Start(std::function<void(Status)> done) {
  Refresh([this, done = std::move(done)](const Status& status) {
    if (!status.ok()) {
      return done(status);
    }
    Join(done);
  });
}

void SimFrontEnd::Join(std::function<void(Status)> done) {
  joining_ = true;
  const auto watch = [this](const char* prefix) {
    return coordinator_.Watch(
        prefix, 0,
        {.on_events =
             [this](const std::vector<WatchEvent>&) {
               process_.PostAfter(cluster_.news_late, [this] { RefreshUntilDone(); });
             },
         .on_resync = [this](const std::vector<KeyValue>&, uint64_t) { RefreshUntilDone(); }});
  };
  watches_ = {watch(kNodesPrefix), watch(kSetsPrefix)};
  front_end_->Join(Membership{.address = process_.name(),
                              .process = process_.id(),
                              .machine = id_,
                              .zone = "",
                              .lease = cluster_.lease,
                              .look = cluster_.look},
                   std::move(done));
}

void SimFrontEnd::Kill() {
  if (front_end_ != nullptr) {
    handlers_.on_end(front_end_->counters());
  }
  process_.Kill();
  watches_ = {};
  front_end_.reset();
}

}  // namespace vswap
