#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/sim_network.h"
#include "tests/sim/sim_server.h"

namespace vswap {

// What a process of the simulation calls in place of the bodies that use gRPC: the same calls, over
// the simulated network.

class SimNode : public Node {
 public:
  // `on_put` sees every page that arrives.
  SimNode(SimNetwork& network, SimProcess& from, SimServer& server,
          std::function<void(const PutPage&)> on_put)
      : network_(network), from_(from), server_(server), on_put_(std::move(on_put)) {}

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override;
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override;
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override;
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override;
  void Verify(std::vector<PageName> names, Callback<VerifyReply> done) override;
  void Statistics(Callback<NodeStatistics> done) override;

 private:
  SimNetwork& network_;
  SimProcess& from_;
  SimServer& server_;
  const std::function<void(const PutPage&)> on_put_;
};

class SimTableLog : public TableLog {
 public:
  // `on_accepted` sees every write that was accepted.
  SimTableLog(SimNetwork& network, SimProcess& from, SimServer& server,
              std::function<void(const LogWrite&)> on_accepted)
      : network_(network), from_(from), server_(server), on_accepted_(std::move(on_accepted)) {}

  void Write(LogWrite write, Callback<bool> done) override;
  void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) override;
  void Read(ShardId shard, std::string cursor, uint32_t limit,
            Callback<LogReadReply> done) override;

 private:
  SimNetwork& network_;
  SimProcess& from_;
  SimServer& server_;
  const std::function<void(const LogWrite&)> on_accepted_;
};

}  // namespace vswap
