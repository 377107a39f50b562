#include <algorithm>

#include "services/cluster/registry.h"
#include "tests/sim/simulation.h"
#include "tests/support/pages.h"
#include "vswap/v1/cluster.pb.h"

// What befalls the cluster.
namespace vswap {

void Simulation::FaultSoon() {
  world_.PostAfter(Below(shape_.fault_interval_max), [this] {
    if (chaos_ && !calm_) {
      Fault();
    }
    if (chaos_) {
      FaultSoon();
    }
  });
}

void Simulation::Fault() {
  static constexpr void (Simulation::*kFaults[])() = {
      &Simulation::KillFrontEnd,    &Simulation::PauseFrontEnd,    &Simulation::IsolateFrontEnd,
      &Simulation::IsolateFrontEnd, &Simulation::DrainFrontEnd,    &Simulation::MoveSome,
      &Simulation::MoveSome,        &Simulation::CrashServer,      &Simulation::StopServer,
      &Simulation::LoseServer,      &Simulation::EstrangeServer,   &Simulation::DrainServer,
      &Simulation::DamagePage,      &Simulation::SlowServer,       &Simulation::CutPair,
      &Simulation::CutPair,         &Simulation::CrashCoordinator, &Simulation::ReplaceClient,
      &Simulation::LoseMachine};
  static constexpr void (Simulation::*kOfOwners[])() = {
      &Simulation::PauseFrontEnd, &Simulation::PauseFrontEnd, &Simulation::IsolateFrontEnd,
      &Simulation::IsolateFrontEnd, &Simulation::ReplaceClient};
  const auto fault = of_owners() ? kOfOwners[random_.Below(std::size(kOfOwners))]
                                 : kFaults[random_.Below(std::size(kFaults))];
  (this->*fault)();
}

// --- Front-ends.

std::vector<SimFrontEnd*> Simulation::FrontEnds() {
  std::vector<SimFrontEnd*> alive;
  for (const auto& front_end : front_ends_) {
    if (front_end->process().alive()) {
      alive.push_back(front_end.get());
    }
  }
  return alive.empty() ? std::vector{front_ends_.back().get()} : alive;
}

SimFrontEnd* Simulation::Find(const std::string& address) {
  const auto it = std::ranges::find(
      front_ends_, address, [](const auto& front_end) { return front_end->process().name(); });
  return it == front_ends_.end() || !(*it)->process().alive() ? nullptr : it->get();
}

std::vector<SimProcess*> Simulation::Processes() {
  std::vector<SimProcess*> all = {&coordinator_.process};
  for (const auto& server : servers_) {
    all.push_back(&server->process);
  }
  for (SimFrontEnd* front_end : FrontEnds()) {
    all.push_back(&front_end->process());
  }
  return all;
}

void Simulation::StartFrontEnd(Member& member) {
  const uint64_t id = NextId();
  const size_t index = front_ends_.size();
  SimFrontEnd::Handlers handlers{
      .on_accepted =
          [this, index](const LogWrite& write) {
            copies_.NoteLogged(write);
            NoteOwner(writers_, write.shard, write.epoch, front_ends_[index]->process(), "writes");
          },
      .on_end = [this](const FrontEndCounters& counters) { NoteCounters(counters); }};
  front_ends_.push_back(
      std::make_unique<SimFrontEnd>(*cluster_, member.id, id, Mix64(seed_ + id), handlers));
  SimFrontEnd& started = *front_ends_.back();
  member.now = &started;
  network_.Note("front-end starts", started.process().name());
  started.Start([this, &member, &started](const Status& status) {
    network_.Note(status.ok() ? "front-end serves" : "front-end failed", started.process().name());
    if (!status.ok()) {
      world_.PostAfter(Below(Millis(30)),
                       [this, &member, &started] { EndFrontEnd(member, started); });
    }
  });
}

void Simulation::StartFrontEndAfter(Member& member, Duration delay) {
  if (std::exchange(member.starts, true)) {
    return;
  }
  world_.PostAfter(delay, [this, &member] {
    member.starts = false;
    StartFrontEnd(member);
  });
}

void Simulation::EndFrontEnd(Member& member, SimFrontEnd& ended) {
  if (member.now == &ended && ended.process().alive()) {
    member.now->Kill();
    StartFrontEndAfter(member, Below(Millis(200)));
  }
}

bool Simulation::Runs(const Member& member) {
  return member.now->process().alive() && !member.now->process().stopped() &&
         member.now->front_end().GetShardMap().ok();
}

void Simulation::KillFrontEnd() {
  Member& member = AnyMember();
  network_.Note("front-end killed", member.now->process().name());
  EndFrontEnd(member, *member.now);
}

// It does not know that it was replaced, if it was, until it goes on.
void Simulation::PauseFrontEnd() {
  Member& member = AnyMember();
  if (!Runs(member)) {
    return;
  }
  SimFrontEnd& paused = *member.now;
  network_.Note("front-end stopped", paused.process().name());
  paused.process().Stop();
  ReplaceClientToo();
  world_.PostAfter(AroundLease(), [this, &paused] {
    if (paused.process().alive()) {
      network_.Note("front-end continued", paused.process().name());
      paused.process().Continue();
    }
  });
}

// It loses sight of the coordinator, and so its lease, and is well.
void Simulation::IsolateFrontEnd() {
  SimProcess& isolated = AnyMember().now->process();
  network_.Note("front-end isolated", isolated.name());
  network_.Cut(isolated, coordinator_.process);
  ReplaceClientToo();
  world_.PostAfter(AroundLease(),
                   [this, &isolated] { network_.Mend(isolated, coordinator_.process); });
}

void Simulation::DrainFrontEnd() {
  Member& member = AnyMember();
  if (!Runs(member)) {
    return;
  }
  SimFrontEnd& drained = *member.now;
  network_.Note("front-end drained", drained.process().name());
  drained.front_end().Stop();
  world_.PostAfter(Below(Millis(300)), [this, &member, &drained] {
    if (!drained.process().alive() || drained.process().stopped()) {
      return EndFrontEnd(member, drained);
    }
    drained.front_end().Leave([](const Status&) {});
    world_.PostAfter(Below(Millis(100)),
                     [this, &member, &drained] { EndFrontEnd(member, drained); });
  });
}

void Simulation::MoveSome() {
  Member& member = AnyMember();
  if (Runs(member)) {
    const Tier from = random_.Below(2) == 0 ? Tier::kCompressed : Tier::kPhysical;
    const Tier to = from == Tier::kCompressed ? Tier::kPhysical : Tier::kCompressed;
    network_.Note("pages moved", member.now->process().name());
    member.now->front_end().MoveAll(from, to, [](uint64_t) {});
  }
}

// --- Servers and ways.

void Simulation::CrashServer() {
  SimServer& server = AnyServer();
  network_.Note("server killed", server.process.name());
  server.process.SetDown(true);
  world_.PostAfter(Below(Millis(300)), [this, &server] {
    server.process.SetDown(false);
    Register(server);
  });
}

void Simulation::StopServer() {
  SimServer& server = AnyServer();
  network_.Note("server stopped", server.process.name());
  server.process.Stop();
  world_.PostAfter(Below(Millis(400)), [&server] { server.process.Continue(); });
}

// Nothing where it is damaged.
std::optional<History::Content> Simulation::ContentAt(SimServer& server, const PageName& name) {
  std::optional<History::Content> content;
  server.memory.Get({name}, Lane::kBackground, [&](const StatusOr<GetReply>& got) {
    if (got->pages[0].code == PageCode::kOk) {
      content = History::ContentOf(PlainBytes(*got, 0));
    }
  });
  return content;
}

void Simulation::NoteDestroyed(SimServer& server, const PageName& name) {
  if (const auto content = ContentAt(server, name)) {
    copies_.NoteDestroyed(server.info.id, name, *content);
  }
}

// Every copy of it.
void Simulation::Destroyed(const PageName& name, History::Content content) {
  if (const auto entries = entry_oracles_.find(name.space); entries != entry_oracles_.end()) {
    entries->second->Destroyed(name.offset, content);
  } else {
    oracles_.at(name.space)->Destroyed(name.offset, content);
  }
}

bool Simulation::MayLose(const SimServer& server) {
  const auto here = [&](const v1::LogReplica& replica) { return replica.node() == server.info.id; };
  const auto sound_elsewhere = [&](const v1::LogReplica& replica) {
    return replica.full() && !here(replica) &&
           servers_[replica.node() - 1]->log_incarnation == replica.incarnation();
  };
  bool may = true;
  coordinator_.memory.List("shards/", [&](const StatusOr<std::vector<KeyValue>>& found) {
    may = found->size() == shape_.shard_count;
    for (const KeyValue& entry : *found) {
      v1::ShardRecord record;
      // Where one replica is enough, the other one may be about to go.
      may = may && record.ParseFromString(entry.value) &&
            std::ranges::any_of(record.replicas(), sound_elsewhere) &&
            (shape_.log_replicas > 1 || std::ranges::none_of(record.replicas(), here));
    }
  });
  return may;
}

void Simulation::LoseServer() {
  SimServer& server = AnyServer();
  if (server.info.tier == Tier::kCompressed) {
    return LoseData(server);
  }
  if (random_.Below(3) == 0) {
    WhileCalm(server, [this, &server] { LoseData(server); });
  }
}

// A store's machine, that did not sync its log: it comes back with the data, the last changes
// perhaps excepted, and no log.
void Simulation::LoseMachine() {
  SimServer& server = AnyServer();
  if (server.info.tier == Tier::kCompressed || random_.Below(2) != 0) {
    return;
  }
  WhileCalm(server, [this, &server] {
    network_.Note("machine down", server.process.name());
    server.process.SetDown(true);
    world_.PostAfter(Below(Millis(300)), [this, &server] { MachineUp(server); });
  });
}

void Simulation::MachineUp(SimServer& server) {
  network_.Note("machine up", server.process.name());
  std::map<PageName, History::Content> before;
  for (const PageName& name : server.memory.Names()) {
    if (const auto content = ContentAt(server, name)) {
      before[name] = *content;
    }
  }
  // Where there is little room, there may be none for another copy of what is missing then.
  const uint64_t unsynced = shape_.small ? 0 : random_.Below(kUnsyncedMax + 1);
  server.memory.Undo(random_.Below(2) == 0 ? 0 : unsynced);
  for (const PageName& name : server.memory.Names()) {
    before.erase(name);
  }
  for (const auto& [name, content] : before) {
    network_.Note("page not synced", server.process.name());
    copies_.NoteDestroyed(server.info.id, name, content);
  }
  server.LoseLog(bug_ != PlantedBug::kLogIncarnationKept);
  server.process.SetDown(false);
  Register(server);
}

void Simulation::WhileCalm(SimServer& server, std::function<void()> fault) {
  if (shape_.log_replicas < 2) {
    return;
  }
  // Its logs are elsewhere only once no earlier fault is being repaired, and until this one is.
  calm_ = true;
  network_.Note("calm", "");
  network_.SetFaults({});
  world_.PostAfter(kRepaired, [this, &server, fault = std::move(fault)] {
    if (chaos_ && MayLose(server)) {
      fault();
    }
    world_.PostAfter(kRepaired, [this] {
      calm_ = false;
      if (chaos_) {
        network_.SetFaults(shape_.network);
      }
    });
  });
}

void Simulation::LoseData(SimServer& server) {
  network_.Note("server lost its data", server.process.name());
  for (const PageName& name : server.memory.Names()) {
    NoteDestroyed(server, name);
  }
  server.LoseAll();
  world_.PostAfter(Below(Millis(100)), [this, &server] { Register(server); });
}

// As a compressor whose memory is not there yet: whoever believes it loses pages that are not lost.
void Simulation::EstrangeServer() {
  SimServer& server = AnyServer();
  if (server.info.tier != Tier::kCompressed || server.stranger) {
    return;
  }
  network_.Note("server strange", server.process.name());
  server.stranger = std::make_unique<MemoryNode>(
      MemoryNode::Options{.mode = MemoryNode::Mode::kCompressed, .incarnation = NextId()});
  world_.PostAfter(Below(Millis(300)), [&server] { server.stranger = nullptr; });
}

void Simulation::DrainServer() {
  SimServer& server = AnyServer();
  network_.Note("server drained", server.process.name());
  SetDraining(server, true);
  world_.PostAfter(Below(Millis(1500)), [this, &server] { SetDraining(server, false); });
}

// --- What the coordinator is told of servers.

void Simulation::AtCoordinator(std::function<void(Coordinator&)> change) {
  if (coordinator_.process.reachable()) {
    return change(coordinator_.memory);
  }
  world_.PostAfter(Millis(20),
                   [this, change = std::move(change)] { AtCoordinator(std::move(change)); });
}

// The sets come later, as each is a change of its own.
void Simulation::Register(SimServer& server) {
  AtCoordinator([this, &server](Coordinator& coordinator) {
    v1::NodeRecord record;
    record.set_node(server.info.id);
    record.set_tier(static_cast<v1::Tier>(server.info.tier));
    record.set_name(server.info.name);
    record.set_machine(server.info.name);
    record.set_incarnation(server.info.incarnation);
    record.set_log_incarnation(server.log_incarnation);
    record.set_registered_at_ms(static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(world_.Now().time_since_epoch())
            .count()));
    if (!RegisterNode(coordinator, record).ok()) {
      Wrong(server.info.name + " could not be registered");
    }
    world_.PostAfter(Below(Millis(30)), [this, &server] { JoinSets(server); });
  });
}

void Simulation::JoinSets(SimServer& server) {
  AtCoordinator([this, &server](Coordinator& coordinator) {
    const auto node = FindNode(coordinator, server.info.name);
    if (!vswap::JoinSets(coordinator, **node, CopiesOn(server.info.tier)).ok()) {
      Wrong(server.info.name + " could not join sets");
    }
  });
}

void Simulation::SetDraining(SimServer& server, bool draining) {
  server.info.draining = draining;
  AtCoordinator([&server](Coordinator& coordinator) {
    v1::NodeRecord record = **FindNode(coordinator, server.info.name);
    record.set_draining(server.info.draining);
    coordinator.Commit(
        {{}, {{NumberedKey("nodes", server.info.id), record.SerializeAsString()}}, {}},
        [](const StatusOr<TransactionReply>&) {});
  });
}

std::vector<NodeId> Simulation::NodesOf(SetId set) {
  std::vector<NodeId> nodes;
  coordinator_.memory.Get(NumberedKey("sets", set),
                          [&](const StatusOr<std::optional<KeyValue>>& found) {
                            v1::SetRecord record;
                            record.ParseFromString(found->value().value);
                            nodes.assign(record.nodes().begin(), record.nodes().end());
                          });
  return nodes;
}

void Simulation::DamagePage() {
  SimServer& server = AnyServer();
  const std::vector<PageName> names = server.memory.Names();
  if (!names.empty()) {
    const PageName& name = names[random_.Below(names.size())];
    network_.Note("page damaged", server.process.name());
    NoteDestroyed(server, name);
    server.memory.FlipByte(name, 0);
  }
}

void Simulation::CrashCoordinator() {
  network_.Note("coordinator away", "");
  coordinator_.SetDown(true);
  world_.PostAfter(Below(Millis(800)), [this] { coordinator_.SetDown(false); });
}

void Simulation::SlowServer() {
  SimServer& server = AnyServer();
  network_.Note("server slow", server.process.name());
  server.process.SetSlowness(Below(Millis(60)));
  world_.PostAfter(Below(Millis(300)), [&server] { server.process.SetSlowness(Duration(0)); });
}

void Simulation::CutPair() {
  std::vector<SimProcess*> all = Processes();
  SimProcess& a = *all[random_.Below(all.size())];
  for (const auto& client : clients_) {
    all.push_back(&client->process());
  }
  SimProcess& b = *all[random_.Below(all.size())];
  network_.Note("pair cut", a.name() + " " + b.name());
  network_.Cut(a, b);
  world_.PostAfter(Below(Millis(800)), [this, &a, &b] { network_.Mend(a, b); });
}

}  // namespace vswap
