#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/entry_oracle.h"
#include "tests/sim/page_copies.h"
#include "tests/sim/planted_bugs.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_coordinator.h"
#include "tests/sim/sim_front_end.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_server.h"
#include "tests/sim/space_oracle.h"

namespace vswap {

// One simulated life of a cluster: a coordinator, compressors, stores, front-ends that share the
// shards and come and go, and clients that take spaces from each other, in one thread with virtual
// time. Shape, faults and order all follow from the seed.
//
//   chaos: clients ask, messages are lost, processes die, ...
//   quiet: nothing fails any more; what is under way comes to its end
//   end:   a last front-end; all pages are loaded and compared, tables and nodes are compared,
//          everything is freed, and the nodes must be empty
class Simulation {
 public:
  struct Result {
    uint64_t trace = 0;                        // the same for the same seed
    std::vector<std::string> wrong;            // empty: nothing was
    std::map<std::string, uint64_t> counts;    // of faults and messages, by kind
    std::map<std::string, uint64_t> counters;  // of all front-ends
    uint64_t requests = 0;                     // answered
    uint64_t pages_checked = 0;
    double seconds = 0;  // of virtual time
  };

  // What befalls it.
  enum class Faults : uint8_t {
    kAll,
    kOfOwners,  // front-ends that do not know that they were replaced, and often compare nodes
  };

  Simulation(uint64_t seed, PlantedBug bug, Faults faults = Faults::kAll);
  ~Simulation();
  // Told of everything that happens, a line each.
  void SetLog(std::function<void(const std::string&)> log);
  Result Run();

 private:
  static constexpr Duration kTick = std::chrono::milliseconds(5);
  // Longer than any fault lasts, and a replica of a log takes to be replaced.
  static constexpr Duration kRepaired = std::chrono::seconds(2);
  static constexpr size_t kUnsyncedMax = 64;  // changes that a store may lose with its machine
  static std::chrono::milliseconds Millis(uint64_t count) {
    return std::chrono::milliseconds(count);
  }

  bool of_owners() const { return faults_ == Faults::kOfOwners; }
  // What is fixed for a run.
  struct Shape {
    Duration chaos{};
    Duration request_interval_max{};
    Duration fault_interval_max{};
    SimNetwork::Faults network;
    bool full_expected = false;
    uint32_t shard_count = 1;
    uint32_t log_replicas = 1;
    uint32_t compressed_copies = 1;
    uint32_t physical_copies = 1;
    bool small = false;        // compressors may have no room for all copies
    uint64_t entry_slots = 0;  // of the allocated space; 0: there is none
  };

  uint64_t NextId() { return next_id_++; }
  void MakeServers();
  void MakeServer(Tier tier);
  SimFrontEnd::Cluster MakeCluster();
  SimClient& MakeClient(const std::string& space, const std::string& holder);
  void RequestSoon();
  void FaultSoon();
  void Fault();

  // --- Front-ends. Each member is one process after the other.
  struct Member {
    std::string id;
    SimFrontEnd* now = nullptr;
    bool starts = false;  // another one soon
  };
  void StartFrontEnd(Member& member);
  void StartFrontEndAfter(Member& member, Duration delay);
  void EndFrontEnd(Member& member, SimFrontEnd& ended);
  Member& AnyMember() { return *members_[random_.Below(members_.size())]; }
  // Often long enough for others to take its shards.
  Duration AroundLease() { return Below(4 * cluster_->lease); }
  // Whether it is alive, runs, and has begun to serve.
  static bool Runs(const Member& member);
  void KillFrontEnd();
  void PauseFrontEnd();
  void IsolateFrontEnd();
  void DrainFrontEnd();
  void MoveSome();
  SimFrontEnd* Find(const std::string& address);
  std::vector<SimFrontEnd*> FrontEnds();
  // Everybody in the cluster but clients.
  std::vector<SimProcess*> Processes();

  // --- Servers and ways.
  uint32_t CopiesOn(Tier tier) const {
    return tier == Tier::kCompressed ? shape_.compressed_copies : shape_.physical_copies;
  }
  SimServer& AnyServer() { return *servers_[random_.Below(servers_.size())]; }
  void CrashServer();
  void StopServer();
  void LoseServer();
  void LoseData(SimServer& server);
  void LoseMachine();
  // Once its logs are elsewhere, and until they are again.
  void WhileCalm(SimServer& server, std::function<void()> fault);
  void MachineUp(SimServer& server);
  void EstrangeServer();
  void DrainServer();
  // Waits until the coordinator can be reached.
  void Register(SimServer& server);
  void JoinSets(SimServer& server);
  void SetDraining(SimServer& server, bool draining);
  void AtCoordinator(std::function<void(Coordinator&)> change);
  std::vector<NodeId> NodesOf(SetId set);
  // Whether its logs are elsewhere as well.
  bool MayLose(const SimServer& server);
  void DamagePage();
  void SlowServer();
  void CrashCoordinator();
  void CutPair();

  // --- Clients.
  void ReplaceClient();
  // Often the space goes to another one while a front-end does not know that it was replaced.
  void ReplaceClientToo();

  void Quiet();
  void AwaitTidy();
  void End();
  void Await(const char* what, const std::function<bool()>& done);
  void TakeAllOver(Member& member);
  void AwaitRest(SimFrontEnd& front_end);
  void AwaitAnswers(const char* what, const std::vector<SimClient*>& clients);
  void StoreAll(const std::vector<SimClient*>& clients);
  void LoadAll(const std::vector<SimClient*>& clients);
  void Compare(SimFrontEnd& front_end);
  void CompareEntries(FrontEnd& front_end);
  // Pages that entries name there.
  struct Named {
    std::set<PageName> kept;
    std::set<PageName> lost;
  };
  static Named NamedOn(FrontEnd& front_end, const SimServer& server);
  std::optional<PageName> FindOrphan(SimServer& server);
  void CompareNode(FrontEnd& front_end, SimServer& server);
  void CheckTables(FrontEnd& front_end);
  bool MayBeEmptied(SimServer& server);
  bool MayFail(FrontEnd& front_end, const SimServer& server);
  void Fail(SimServer& server);
  void GoOn(SimServer& server);
  void NotePut(const PutPage& page);
  void NoteDestroyed(SimServer& server, const PageName& name);
  void Destroyed(const PageName& name, History::Content content);
  std::optional<History::Content> ContentAt(SimServer& server, const PageName& name);
  void NoteCounters(const FrontEndCounters& counters);
  void NoteOwner(std::map<std::pair<ShardId, Epoch>, uint64_t>& owners, ShardId shard, Epoch epoch,
                 const SimProcess& process, const char* what);
  // Counts answers that came after a later owner had begun: of the chances for old pages.
  void NoteFormer(ShardId shard, Epoch epoch, const SimProcess& process);
  void Wrong(const std::string& what);
  bool failed() const;
  Duration Below(Duration bound) {
    return Duration(1 + random_.Below(static_cast<uint64_t>(bound.count())));
  }

  const uint64_t seed_;
  const PlantedBug bug_;
  const Faults faults_;
  SeededRandom random_;
  ManualExecutor world_;
  SimNetwork network_;
  uint64_t next_id_ = 1;
  Shape shape_;
  SimCoordinatorServer coordinator_;
  std::vector<std::unique_ptr<SimServer>> servers_;
  std::optional<SimFrontEnd::Cluster> cluster_;
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<std::unique_ptr<SimFrontEnd>> front_ends_;     // all that ever were
  std::vector<std::unique_ptr<SimClient>> clients_;          // all that ever were
  std::map<std::string, SimClient*> holders_;                // who is meant to have each space
  std::map<SpaceId, std::unique_ptr<SpaceOracle>> oracles_;  // of device spaces
  std::map<SpaceId, std::unique_ptr<EntryOracle>> entry_oracles_;  // of allocated spaces
  VersionLedger versions_;
  PageCopies copies_;
  std::map<std::pair<ShardId, Epoch>, uint64_t> writers_;    // processes that wrote to logs
  std::map<std::pair<ShardId, Epoch>, uint64_t> answerers_;  // and that answered clients
  std::map<std::string, uint64_t> counters_;                 // of all front-ends
  bool chaos_ = true;
  bool calm_ = false;  // no new faults for a while
  SimServer* machine_down_ = nullptr;
  std::vector<std::string> wrong_;
};

}  // namespace vswap
