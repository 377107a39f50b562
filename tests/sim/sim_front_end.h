#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/frontend/front_end.h"
#include "tests/sim/planted_bugs.h"
#include "tests/sim/sim_bodies.h"
#include "tests/sim/sim_coordinator.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_server.h"

namespace vswap {

// A process with a FrontEnd in it, as the role makes one: from its start to its end, once.
// Everything that is needed to make a FrontEnd is here. Thread-confined.
class SimFrontEnd {
 public:
  struct Cluster {
    ManualExecutor& world;
    SimNetwork& network;
    SimCoordinatorServer& coordinator;
    std::vector<SimServer*> servers;  // node 1, 2, ...
    uint32_t compressed_copies = 1;
    uint32_t physical_copies = 1;
    RedundancyKeeper::Options redundancy;
    Duration compare_every{};
    std::optional<Writeback::Options> writeback;
    Duration lease{};
    Duration look{};
    Duration news_late{};  // until a change of nodes or sets is known
    PlantedBug bug = PlantedBug::kNone;
    // Called on arrival at a server.
    std::function<void(const PutPage&)> on_put;
    // The front-end with that address; null: there is none any more.
    std::function<SimFrontEnd*(const std::string&)> find;
  };
  struct Handlers {
    // A log write of this process was accepted.
    std::function<void(const LogWrite&)> on_accepted;
    // What it had counted when it ended.
    std::function<void(const FrontEndCounters&)> on_end;
  };

  // `id`: who it is among the front-ends; a later process of the same has it too. Its address
  // is the process's name.
  SimFrontEnd(const Cluster& cluster, std::string id, uint64_t process_id, uint64_t seed,
              Handlers handlers);
  ~SimFrontEnd();

  void Start(std::function<void(Status)> done);
  // Not from within.
  void Kill();

  // While it is alive.
  FrontEnd& front_end() { return *front_end_; }
  SimProcess& process() { return process_; }
  const std::string& id() const { return id_; }

 private:
  class Directory;
  class Others;
  void MakeNodes();
  std::unique_ptr<TableLog> MakeLog(SimServer& server);
  Placement MakePlacement() const;
  // Learns of all nodes and sets that there are.
  void Refresh(std::function<void(Status)> done);
  void RefreshUntilDone();
  void NoteStarts(const std::vector<NodeId>& registered);
  void Join(std::function<void(Status)> done);

  const Cluster cluster_;
  const Handlers handlers_;
  const std::string id_;
  SimProcess process_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<TableLog>> logs_;  // those with a planted bug behind them
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<Others> others_;
  SimCoordinator coordinator_;
  std::unique_ptr<FrontEnd> front_end_;
  bool joining_ = false;  // or has joined
  std::array<std::unique_ptr<WatchHandle>, 2> watches_;
};

}  // namespace vswap
