#include <algorithm>
#include <set>
#include <utility>

#include "tests/sim/simulation.h"

// What must hold when nothing fails any more.
namespace vswap {
namespace {

// More than a message can be late, than any fault lasts, and than any backoff.
constexpr auto kAllArrived = std::chrono::seconds(3);
// Until a server that came back empty is in its sets.
constexpr auto kRegistered = std::chrono::milliseconds(200);
constexpr auto kRestMax = std::chrono::seconds(120);

std::string Describe(const PageName& name) {
  return " page of space " + std::to_string(name.space) + " offset " + std::to_string(name.offset) +
         " version " + std::to_string(name.version);
}

}  // namespace

void Simulation::Await(const char* what, const std::function<bool()>& done) {
  const TimePoint deadline = world_.Now() + kRestMax;
  while (!failed() && !done()) {
    if (world_.Now() > deadline) {
      return Wrong(std::string("nothing fails any more, but not within two minutes: ") + what);
    }
    world_.Advance(kTick);
  }
}

void Simulation::Quiet() {
  network_.Note("quiet", "");
  chaos_ = false;
  network_.SetFaults({});
  world_.Advance(kAllArrived);  // timed faults have ended, late messages have come
  for (const auto& client : clients_) {
    client->ExpectAnswers();
  }
  Await("the requests under way are answered", [this] {
    return std::ranges::all_of(clients_, [](const auto& client) {
      return !client->process().alive() || client->fenced() ||
             (client->attached() && client->idle());
    });
  });
  AwaitTidy();
}

// Comparisons find whatever was left behind, also in the epoch of an owner that goes on.
void Simulation::AwaitTidy() {
  Await("nodes hold only pages that entries name", [this] {
    return std::ranges::none_of(
        servers_, [this](const auto& server) { return FindOrphan(*server).has_value(); });
  });
  for (const auto& server : servers_) {
    if (const auto orphan = FindOrphan(*server)) {
      Wrong(server->process.name() + " holds the" + Describe(*orphan) + " that no entry names");
    }
  }
}

void Simulation::End() {
  network_.Note("end", "");
  Member last_member;
  last_member.id = "front-end-z";
  TakeAllOver(last_member);
  std::vector<SimClient*> last;
  for (const auto& [space, client] : std::map(holders_)) {
    last.push_back(&MakeClient(space, "host-z"));
    last.back()->ExpectAnswers();
  }
  AwaitAnswers("the spaces are open", last);
  LoadAll(last);
  Compare(*last_member.now);
  if (SimServer& drained = AnyServer(); !failed() && MayBeEmptied(drained)) {
    network_.Note("server emptied", drained.process.name());
    SetDraining(drained, true);
    Await("a server that drains is empty", [&] { return drained.memory.Names().empty(); });
    SetDraining(drained, false);
  }
  SimServer& failing = AnyServer();
  if (!failed() && MayFail(last_member.now->front_end(), failing)) {
    Fail(failing);
    LoadAll(last);
    StoreAll(last);
    GoOn(failing);
    // What the failure has left behind is found by the next owner, or by this one in time.
    if (random_.Below(2) == 0) {
      TakeAllOver(last_member);
    } else {
      world_.Advance(kRepaired);
      AwaitTidy();
    }
    Compare(*last_member.now);
  }
  if (failed()) {
    return;
  }
  for (SimClient* client : last) {
    client->FreeAll();
  }
  AwaitAnswers("all pages are freed", last);
  LoadAll(last);
  AwaitRest(*last_member.now);
  CompareEntries(last_member.now->front_end());
  for (const auto& server : servers_) {
    if (!failed() && !server->memory.Names().empty()) {
      Wrong(server->process.name() + " holds pages although everything was freed");
    }
  }
}

void Simulation::TakeAllOver(Member& member) {
  for (const auto& front_end : front_ends_) {
    front_end->Kill();
  }
  StartFrontEnd(member);
  AwaitRest(*member.now);
}

void Simulation::AwaitRest(SimFrontEnd& front_end) {
  Await("a front-end is at rest", [&] {
    return front_end.process().alive() && front_end.front_end().GetShardMap().ok() &&
           front_end.front_end().ownership().AllOwned() &&
           front_end.front_end().shards_waiting() == 0 && front_end.front_end().reconciled() &&
           front_end.front_end().Idle();
  });
}

void Simulation::AwaitAnswers(const char* what, const std::vector<SimClient*>& clients) {
  Await(what, [&] {
    return std::ranges::all_of(
        clients, [](SimClient* client) { return client->attached() && client->idle(); });
  });
}

void Simulation::StoreAll(const std::vector<SimClient*>& clients) {
  if (shape_.small || failed()) {
    return;  // there may be no room for them
  }
  for (SimClient* client : clients) {
    client->StoreAll();
  }
  AwaitAnswers("all slots are stored to", clients);
}

void Simulation::LoadAll(const std::vector<SimClient*>& clients) {
  for (SimClient* client : clients) {
    if (!failed()) {
      client->LoadAll();
    }
  }
  AwaitAnswers("all pages are loaded", clients);
}

void Simulation::Compare(SimFrontEnd& front_end) {
  // Compressors that are full may not keep as many copies as are wanted.
  if (!shape_.small && !failed()) {
    AwaitRest(front_end);  // what it finds missing is made anew
    world_.Advance(2 * cluster_->redundancy.look);
    Await("pages have as many copies as are wanted",
          [&] { return front_end.front_end().degraded_pages() == 0; });
  }
  AwaitRest(front_end);
  if (!failed()) {
    for (const auto& server : servers_) {
      CompareNode(front_end.front_end(), *server);
    }
    CheckTables(front_end.front_end());
    CompareEntries(front_end.front_end());
  }
}

// There are exactly the entries that clients were given, with as many references.
void Simulation::CompareEntries(FrontEnd& front_end) {
  const std::map<SpaceId, SpaceCounts> counts = front_end.Counts();
  for (const auto& [space, oracle] : entry_oracles_) {
    EntryOracle::References found;
    for (const auto& shard : front_end.shards()) {
      shard->Inspect([&, of = space](const EntryTable& table) {
        table.ForEach([&](SpaceId id, Offset offset, const Entry& entry) {
          if (id == of && entry.live()) {
            found[offset] = entry.companion.references();
          }
        });
      });
    }
    oracle->Compare(found);
    const auto counted = counts.find(space);
    const uint64_t used = counted == counts.end() ? 0 : counted->second.used_slots();
    if (used != found.size()) {
      Wrong("space " + std::to_string(space) + " has " + std::to_string(found.size()) +
            " entries, and counts " + std::to_string(used));
    }
  }
}

// Whether others can keep all that it has. A damaged record stays where it is.
bool Simulation::MayBeEmptied(SimServer& server) {
  const auto others = std::ranges::count_if(servers_, [&](const auto& other) {
    return other.get() != &server && other->info.tier == server.info.tier;
  });
  return !shape_.small && others >= CopiesOn(server.info.tier) &&
         std::ranges::all_of(server.memory.Names(),
                             [this](const PageName& name) { return copies_.IsWhole(name); });
}

// --- One more failure, of a cluster that has recovered from all before it.

// Whether no page has its only sound copy there, and no shard its only log.
bool Simulation::MayFail(FrontEnd& front_end, const SimServer& server) {
  const std::vector<SetId> sets = front_end.placement().SetsWith(server.info.id);
  bool may = server.info.tier == Tier::kCompressed || MayLose(server);
  for (const auto& shard : front_end.shards()) {
    shard->Inspect([&](const EntryTable& table) {
      table.ForEach([&](SpaceId space, Offset offset, const Entry& entry) {
        const SetId set = entry.word.set();
        const bool whole = entry.word.stored() && NodesOf(set).size() > 1 &&
                           copies_.IsWhole({space, offset, entry.word.version()});
        may = may && (whole || std::ranges::find(sets, set) == sets.end());
      });
    });
  }
  return may;
}

void Simulation::Fail(SimServer& server) {
  network_.Note("one more failure", server.process.name());
  switch (random_.Below(server.info.tier == Tier::kPhysical ? 4 : 3)) {
    case 0:
      return server.process.SetDown(true);
    case 3:
      machine_down_ = &server;
      return server.process.SetDown(true);
    case 1:
      return server.process.Stop();
    default:
      return LoseData(server);
  }
}

void Simulation::GoOn(SimServer& server) {
  if (std::exchange(machine_down_, nullptr) != nullptr) {
    MachineUp(server);
  }
  server.process.SetDown(false);
  server.process.Continue();
  world_.Advance(kRegistered);
}

Simulation::Named Simulation::NamedOn(FrontEnd& front_end, const SimServer& server) {
  const std::vector<SetId> sets = front_end.placement().SetsWith(server.info.id);
  Named named;
  for (const auto& shard : front_end.shards()) {
    shard->Inspect([&](const EntryTable& table) {
      table.ForEach([&](SpaceId space, Offset offset, const Entry& entry) {
        if (std::ranges::find(sets, entry.word.set()) != sets.end()) {
          const bool is_lost = entry.word.kind() == Backing::kLost;
          (is_lost ? named.lost : named.kept).insert({space, offset, entry.word.version()});
        }
      });
    });
  }
  return named;
}

// A page that no entry of any front-end names there.
std::optional<PageName> Simulation::FindOrphan(SimServer& server) {
  std::vector<PageName> held = server.memory.Names();
  for (SimFrontEnd* front_end : FrontEnds()) {
    if (front_end->process().alive()) {
      const Named named = NamedOn(front_end->front_end(), server);
      std::erase_if(held, [&](const PageName& name) {
        return named.kept.contains(name) || named.lost.contains(name);
      });
    }
  }
  return held.empty() ? std::nullopt : std::optional(held.front());
}

// It holds what entries name there, and nothing else.
void Simulation::CompareNode(FrontEnd& front_end, SimServer& server) {
  const Named named = NamedOn(front_end, server);
  const std::vector<PageName> names = server.memory.Names();
  const std::set<PageName> held(names.begin(), names.end());
  for (const PageName& name : held) {
    if (!named.kept.contains(name) && !named.lost.contains(name)) {
      Wrong(server.process.name() + " holds a" + Describe(name) + " that no entry names");
    }
  }
  for (const PageName& name : named.kept) {
    if (!held.contains(name)) {
      Wrong(server.process.name() + " does not hold the" + Describe(name));
    }
  }
}

void Simulation::CheckTables(FrontEnd& front_end) {
  std::optional<StatusOr<CheckReport>> report;
  front_end.Check([&](StatusOr<CheckReport> found) { report = std::move(found); });
  Await("the service checks itself", [&] { return report.has_value(); });
  if (!report || !report->ok()) {
    return Wrong("the service's own check failed");
  }
  for (const std::string& problem : (*report)->problems) {
    Wrong("the service's own check: " + problem);
  }
}

}  // namespace vswap
