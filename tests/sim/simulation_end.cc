#include <algorithm>
#include <set>

#include "tests/sim/simulation.h"

// What must hold when nothing fails any more.
namespace vswap {
namespace {

// More than a message can be late, than any fault lasts, and than any backoff.
constexpr auto kAllArrived = std::chrono::seconds(3);
constexpr auto kRestMax = std::chrono::seconds(120);

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
}

void Simulation::End() {
  network_.Note("end", "");
  for (const auto& front_end : front_ends_) {
    front_end->Kill();
  }
  Member last_member;
  last_member.id = "front-end-z";
  StartFrontEnd(last_member);
  SimFrontEnd& front_end = *last_member.now;
  const auto at_rest = [&] {
    return front_end.process().alive() && front_end.front_end().GetShardMap().ok() &&
           front_end.front_end().ownership().AllOwned() && front_end.front_end().reconciled() &&
           front_end.front_end().Idle();
  };
  Await("a new front-end is at rest", at_rest);
  std::vector<SimClient*> last;
  for (const auto& [space, client] : std::map(holders_)) {
    last.push_back(&MakeClient(space, "host-z"));
    last.back()->ExpectAnswers();
  }
  const auto all_answered = [&] {
    return std::ranges::all_of(
        last, [](SimClient* client) { return client->attached() && client->idle(); });
  };
  Await("the spaces are open", all_answered);
  if (failed()) {
    return;
  }
  for (SimClient* client : last) {
    client->LoadAll();
  }
  Await("all pages are loaded", all_answered);
  Await("the front-end is at rest", at_rest);
  if (failed()) {
    return;
  }
  CompareNodes(front_end.front_end());
  CheckTables(front_end.front_end());
  for (SimClient* client : last) {
    client->FreeAll();
  }
  Await("all pages are freed", all_answered);
  Await("the front-end is at rest", at_rest);
  for (const auto& server : servers_) {
    if (!failed() && !server->memory.Names().empty()) {
      Wrong(server->process.name() + " holds pages although everything was freed");
    }
  }
}

void Simulation::CompareNodes(FrontEnd& front_end) {
  for (const auto& server : servers_) {
    CompareNode(front_end, *server);
  }
}

// It holds what entries name there, and nothing else.
void Simulation::CompareNode(FrontEnd& front_end, SimServer& server) {
  const std::vector<SetId> sets = front_end.placement().SetsWith(server.info.id);
  std::set<PageName> named;
  std::set<PageName> lost;
  for (const auto& shard : front_end.shards()) {
    shard->Inspect([&](const EntryTable& table) {
      table.ForEach([&](SpaceId space, Offset offset, const Entry& entry) {
        if (std::ranges::find(sets, entry.word.set()) != sets.end()) {
          const bool is_lost = entry.word.kind() == Backing::kLost;
          (is_lost ? lost : named).insert({space, offset, entry.word.version()});
        }
      });
    });
  }
  const auto describe = [](const PageName& name) {
    return " page of space " + std::to_string(name.space) + " offset " +
           std::to_string(name.offset) + " version " + std::to_string(name.version);
  };
  const std::vector<PageName> names = server.memory.Names();
  const std::set<PageName> held(names.begin(), names.end());
  for (const PageName& name : held) {
    if (!named.contains(name) && !lost.contains(name)) {
      Wrong(server.process.name() + " holds a" + describe(name) + " that no entry names");
    }
  }
  for (const PageName& name : named) {
    if (!held.contains(name)) {
      Wrong(server.process.name() + " does not hold the" + describe(name));
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
