#include "tests/sim/sim_front_end.h"

#include <algorithm>

namespace vswap {

// The stores as this process knows them.
class SimFrontEnd::LogStores : public LogNodes {
 public:
  void Add(const Placement::NodeInfo& info, TableLog* log) {
    stores_.push_back({info.id, info.incarnation, info.name, "", false, true, log});
  }
  void Tell(const Placement::NodeInfo& info) {
    const auto store = std::ranges::find(stores_, info.id, &Store::node);
    if (store != stores_.end()) {
      store->incarnation = info.incarnation;
    }
  }
  std::vector<Store> Stores() override { return stores_; }

 private:
  std::vector<Store> stores_;
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

 private:
  SimFrontEnd& self_;
};

SimFrontEnd::SimFrontEnd(const Cluster& cluster, std::string id, uint64_t process_id, uint64_t seed,
                         Handlers handlers)
    : cluster_(cluster),
      handlers_(std::move(handlers)),
      id_(std::move(id)),
      process_(cluster.world, id_ + "#" + std::to_string(process_id), process_id, seed),
      stores_(std::make_unique<LogStores>()),
      others_(std::make_unique<Others>(*this)),
      coordinator_(cluster.network, process_, cluster.coordinator,
                   cluster.bug == PlantedBug::kUnprovenLoads) {
  for (SimServer* server : cluster_.servers) {
    nodes_.push_back(
        std::make_unique<SimNode>(cluster_.network, process_, *server, cluster_.on_put));
    if (server->info.tier == Tier::kPhysical) {
      auto log = MakeLog(*server);
      stores_->Add(server->info, log.get());
      logs_.push_back(std::move(log));
    }
  }
  front_end_ = std::make_unique<FrontEnd>(FrontEnd::Options{.id = id_,
                                                            .writeback = cluster_.writeback,
                                                            .peers = others_.get(),
                                                            .clock = &cluster_.world},
                                          coordinator_, *stores_, MakePlacement(), process_);
}

SimFrontEnd::~SimFrontEnd() { Kill(); }

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

Placement SimFrontEnd::MakePlacement() {
  Placement placement;
  for (size_t i = 0; i < cluster_.servers.size(); ++i) {
    Placement::NodeInfo info = cluster_.servers[i]->info;
    info.node = nodes_[i].get();
    placement.AddNode(info);
    placement.AddSet(SetOf(*cluster_.servers[i]), info.tier, {info.id});
  }
  return placement;
}

void SimFrontEnd::Start(std::function<void(Status)> done) {
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
  front_end_.reset();
}

void SimFrontEnd::Tell(const Placement::NodeInfo& info) {
  if (process_.alive()) {
    process_.Post([this, info] {
      stores_->Tell(info);
      front_end_->placement().AddNode(info);
    });
  }
}

}  // namespace vswap
