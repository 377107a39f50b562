#include "tests/sim/simulation.h"

#include <algorithm>
#include <array>

#include "tests/sim/sim_device_client.h"
#include "tests/sim/sim_entry_client.h"
#include "vswap/v1/cluster.pb.h"

namespace vswap {
namespace {

constexpr size_t kWrongMax = 20;
constexpr uint64_t kSpacePages = 1 << 20;
constexpr char kEntries[] = "entries";  // the allocated space

}  // namespace

Simulation::Simulation(uint64_t seed, PlantedBug bug, Faults faults)
    : seed_(seed),
      bug_(bug),
      faults_(faults),
      random_(Mix64(seed + 1)),
      network_(world_, Mix64(seed + 2)),
      coordinator_(world_, NextId(), Mix64(seed + 3)),
      copies_(
          [this](SetId set) { return NodesOf(set); },
          [this](const PageName& name, History::Content content) { Destroyed(name, content); }) {
  shape_.chaos = Millis(1000 + random_.Below(4000));
  shape_.request_interval_max = Millis(4 + random_.Below(30));
  shape_.fault_interval_max = Millis(20 + random_.Below(random_.Below(2) == 0 ? 200 : 1000));
  const auto permille = [this](uint64_t max) {
    return random_.Below(3) == 0 ? 0 : random_.Below(max);
  };
  shape_.network = {.lost_permille = permille(40),
                    .twice_permille = permille(80),
                    .late_permille = permille(120),
                    .delay_max = std::chrono::microseconds(50 + random_.Below(3000)),
                    .late_max = Millis(2 + random_.Below(500))};
  shape_.full_expected = random_.Below(4) == 0;
  // Few slots, of which there may be none left; or of two stripes.
  SeededRandom random(Mix64(seed + 6));
  shape_.entry_slots = random.Below(3) == 0   ? 0
                       : random.Below(2) == 0 ? 16 + random.Below(32)
                                              : kStripePages + 8 + random.Below(32);
  network_.SetFaults(shape_.network);
  MakeServers();
}

Simulation::~Simulation() {
  for (const auto& client : clients_) {
    client->process().Kill();
  }
  for (const auto& front_end : front_ends_) {
    front_end->Kill();
  }
  world_.DropTasks();
}

void Simulation::SetLog(std::function<void(const std::string&)> log) {
  network_.log = [this, log = std::move(log)](const std::string& line) {
    const auto micros =
        std::chrono::duration_cast<std::chrono::microseconds>(world_.Now().time_since_epoch());
    log(std::to_string(micros.count()) + " us: " + line);
  };
}

void Simulation::MakeServers() {
  const bool pages_twice = random_.Below(2) == 0;
  const auto copies = [&] { return pages_twice && random_.Below(5) != 0 ? 2u : 1u; };
  shape_.compressed_copies = copies();
  shape_.physical_copies = copies();
  const uint64_t compressors = shape_.compressed_copies + random_.Below(2);
  const uint64_t stores =
      shape_.physical_copies + random_.Below(shape_.physical_copies > 1 ? 2 : 3);
  shape_.shard_count = static_cast<uint32_t>(1 + random_.Below(4));
  // The bug is in front of one log.
  const bool replicated = stores > 1 && random_.Below(4) != 0;
  shape_.log_replicas = replicated && bug_ != PlantedBug::kTakeoverWithoutMerging ? 2 : 1;
  shape_.chaos += shape_.log_replicas > 1 ? 2 * kRepaired : Duration(0);
  shape_.small = shape_.full_expected || random_.Below(3) == 0;
  for (uint64_t i = 0; i < compressors + stores; ++i) {
    MakeServer(i < compressors ? Tier::kCompressed : Tier::kPhysical);
  }
  cluster_.emplace(MakeCluster());
  PlantAtServers(bug_, cluster_->servers, Mix64(seed_ + 4));
  v1::ClusterRecord record;
  record.set_shard_count(shape_.shard_count);
  record.set_log_replicas(shape_.log_replicas);
  coordinator_.memory.Commit({{}, {{"cluster", record.SerializeAsString()}}, {}},
                             [](const StatusOr<TransactionReply>&) {});
}

void Simulation::MakeServer(Tier tier) {
  const bool store = tier == Tier::kPhysical;
  const auto id = static_cast<NodeId>(servers_.size() + 1);
  const Incarnation incarnation = 100 * id;
  const uint64_t pages = !shape_.small          ? 1 << 20
                         : !store               ? 4 + random_.Below(8)
                         : shape_.full_expected ? 4 + random_.Below(12)
                                                : 1 << 20;
  servers_.push_back(std::make_unique<SimServer>(
      world_,
      Placement::NodeInfo{id, tier, (store ? "store-" : "compressor-") + std::to_string(id),
                          incarnation, nullptr},
      NextId(), Mix64(seed_ + 10 + id),
      MemoryNode::Options{
          .mode = store ? MemoryNode::Mode::kPhysical : MemoryNode::Mode::kCompressed,
          .capacity_pages = pages,
          .overlap_pages = 4,
          .incarnation = incarnation,
          .undo_max = kUnsyncedMax}));
  Register(*servers_.back());
}

SimFrontEnd::Cluster Simulation::MakeCluster() {
  std::vector<SimServer*> servers;
  for (const auto& server : servers_) {
    servers.push_back(server.get());
  }
  return {.world = world_,
          .network = network_,
          .coordinator = coordinator_,
          .servers = servers,
          .compressed_copies = shape_.compressed_copies,
          .physical_copies = shape_.physical_copies,
          .redundancy = {.look = Millis(40 + random_.Below(random_.Below(2) == 0 ? 80 : 400)),
                         .silent_looks_max = static_cast<int>(1 + random_.Below(5))},
          .compare_every =
              Millis(of_owners() ? 20 + Mix64(seed_ + 5) % 200 : 300 + Mix64(seed_ + 5) % 3000),
          .writeback = random_.Below(2) == 0
                           ? std::nullopt
                           : std::optional(Writeback::Options{
                                 .start = 0.6, .end = 0.3, .interval = Millis(20)}),
          .lease = Millis(100 + random_.Below(300)),
          .look = Millis(10 + random_.Below(50)),
          .news_late = random_.Below(3) == 0 ? Below(Millis(1500)) : Duration(0),
          .bug = bug_,
          .on_put = [this](const PutPage& page) { NotePut(page); },
          .find = [this](const std::string& address) { return Find(address); }};
}

Simulation::Result Simulation::Run() {
  const uint64_t members = of_owners() ? 2 + random_.Below(2) : 1 + random_.Below(3);
  for (uint64_t i = 0; i < members; ++i) {
    members_.push_back(std::make_unique<Member>());
    members_.back()->id = std::string("front-end-") + static_cast<char>('a' + i);
    StartFrontEnd(*members_.back());
  }
  const uint64_t spaces = 1 + random_.Below(2);
  for (uint64_t i = 0; i < spaces; ++i) {
    MakeClient("space-" + std::to_string(i), "host-a");
  }
  if (shape_.entry_slots > 0) {
    MakeClient(kEntries, "host-a");
  }
  RequestSoon();
  FaultSoon();
  const TimePoint end = world_.Now() + shape_.chaos;
  while (world_.Now() < end && !failed()) {
    world_.Advance(kTick);
  }
  if (!failed()) {
    Quiet();
  }
  if (!failed()) {
    End();
  }
  for (const auto& front_end : front_ends_) {
    front_end->Kill();
  }
  Result result;
  result.counters = counters_;
  result.trace = network_.trace();
  result.wrong = wrong_;
  result.counts = network_.counts();
  result.seconds = std::chrono::duration<double>(world_.Now().time_since_epoch()).count();
  for (const auto& [space, oracle] : oracles_) {
    const std::vector<std::string> wrong = oracle->wrong();
    result.wrong.insert(result.wrong.end(), wrong.begin(), wrong.end());
    result.pages_checked += oracle->pages_checked();
  }
  for (const auto& [space, oracle] : entry_oracles_) {
    const std::vector<std::string> wrong = oracle->wrong();
    result.wrong.insert(result.wrong.end(), wrong.begin(), wrong.end());
    result.pages_checked += oracle->pages_checked();
    result.counts["changes found done"] += oracle->found_done();
    result.counts["changes found not done"] += oracle->found_not_done();
  }
  for (const auto& client : clients_) {
    result.requests += client->answered();
  }
  return result;
}

// --- Clients.

SimClient& Simulation::MakeClient(const std::string& space, const std::string& holder) {
  SimClient::World world{.world = world_,
                         .network = network_,
                         .front_ends = [this] { return FrontEnds(); },
                         .find = [this](const std::string& address) { return Find(address); },
                         .on_answer =
                             [this](ShardId shard, Epoch epoch, const SimProcess& process) {
                               NoteOwner(answerers_, shard, epoch, process, "answers");
                               NoteFormer(shard, epoch, process);
                             },
                         .wrong = [this](const std::string& what) { Wrong(what); }};
  SimClient::Options options;
  options.space = space;
  options.holder = holder;
  const bool entries = space == kEntries;
  options.kind = entries ? SpaceKind::kAllocated : SpaceKind::kDevice;
  options.space_pages = entries ? shape_.entry_slots : kSpacePages;
  options.full_expected = shape_.full_expected;
  options.loads_percent = random_.Below(2) == 0 ? 97 : 45;
  options.impatient_permille = random_.Below(3) == 0 ? 300 : 20;
  options.bug = bug_;
  // Few slots, so that much happens to each; over cluster and stripe boundaries. Some ask for those
  // of one stripe only, and so one front-end, and do not hear from another what has happened.
  const std::array<Offset, 3> regions = {510, 2 * kStripePages, 9 * kStripePages};
  const uint64_t only = random_.Below(2 * regions.size());
  for (size_t i = 0; i < regions.size(); ++i) {
    for (Offset slot = 0; slot < 4 && (only >= regions.size() || only == i); ++slot) {
      options.slots.push_back(regions[i] + slot);
    }
  }
  const uint64_t id = NextId();
  const uint64_t seed = Mix64(seed_ + id);
  if (entries) {
    clients_.push_back(std::make_unique<SimEntryClient>(
        std::move(world), std::move(options), id, seed, [this](SpaceId found) -> EntryOracle& {
          auto& oracle = entry_oracles_[found];
          if (oracle == nullptr) {
            oracle = std::make_unique<EntryOracle>(found, shape_.entry_slots);
          }
          return *oracle;
        }));
  } else {
    clients_.push_back(std::make_unique<SimDeviceClient>(
        std::move(world), std::move(options), id, seed, [this](SpaceId found) -> SpaceOracle& {
          auto& oracle = oracles_[found];
          if (oracle == nullptr) {
            oracle = std::make_unique<SpaceOracle>(found);
          }
          return *oracle;
        }));
  }
  holders_[space] = clients_.back().get();
  clients_.back()->Start();
  return *clients_.back();
}

void Simulation::RequestSoon() {
  world_.PostAfter(Below(shape_.request_interval_max), [this] {
    if (!chaos_) {
      return;
    }
    // Those that were replaced go on until they are told.
    for (const auto& client : clients_) {
      if (client->process().alive()) {
        client->Issue();
      }
    }
    for (const auto& [space, client] : std::map(holders_)) {
      if (client->fenced()) {
        // By a late copy of an open: then it opens again.
        MakeClient(space, random_.Below(2) == 0 ? "host-a" : "host-b");
      }
    }
    RequestSoon();
  });
}

void Simulation::ReplaceClient() {
  auto it = holders_.begin();
  std::advance(it, static_cast<ptrdiff_t>(random_.Below(holders_.size())));
  const auto [space, client] = *it;
  if (!client->attached()) {
    return;
  }
  switch (random_.Below(4)) {
    case 0:
      network_.Note("client killed", client->process().name());
      client->Kill();
      break;
    case 1:
      network_.Note("client closes", client->process().name());
      client->Close();
      break;
    default:
      network_.Note("client replaced", client->process().name());
      break;
  }
  MakeClient(space, random_.Below(2) == 0 ? "host-a" : "host-b");
}

void Simulation::ReplaceClientToo() {
  if (random_.Below(3) != 0) {
    world_.PostAfter(AroundLease(), [this] {
      if (chaos_) {
        ReplaceClient();
      }
    });
  }
}

void Simulation::NotePut(const PutPage& page) {
  if (!versions_.Note(page)) {
    Wrong("version " + std::to_string(page.name.version) + " of space " +
          std::to_string(page.name.space) + " offset " + std::to_string(page.name.offset) +
          " was given to two pages");
  }
}

void Simulation::NoteCounters(const FrontEndCounters& counters) {
  counters_["entries allocated"] += counters.allocated;
  counters_["allocations without room"] += counters.rejected_allocations;
  counters_["references added"] += counters.duplicated;
  counters_["pages moved"] += counters.moved;
  counters_["pages rebuilt"] += counters.rebuilt;
  counters_["pages stored with fewer copies"] += counters.stores_degraded;
  counters_["pages written back"] += counters.written_back;
  counters_["pages without room"] += counters.rejected_no_room;
  counters_["pages unavailable"] += counters.loads_unavailable;
  counters_["waits for room"] += counters.overlap_waits;
  counters_["stores fenced"] += counters.stores_fenced;
  counters_["loads tried again"] += counters.load_retries;
  counters_["loads answered as lost"] += counters.loads_data_loss;
  counters_["pages marked lost"] += counters.pages_marked_lost;
  counters_["pages revived"] += counters.pages_revived;
  counters_["orphans deleted"] += counters.orphans_deleted;
  counters_["nodes compared"] += counters.comparisons;
  counters_["copies found missing"] += counters.copies_missing;
  counters_["pages repaired"] += counters.repaired;
  counters_["shards taken"] += counters.shards_taken;
  counters_["shards released"] += counters.shards_released;
  counters_["shards lost"] += counters.shards_lost;
  counters_["log replicas added"] += counters.log_replicas_added;
  counters_["log replicas removed"] += counters.log_replicas_removed;
}

void Simulation::NoteOwner(std::map<std::pair<ShardId, Epoch>, uint64_t>& owners, ShardId shard,
                           Epoch epoch, const SimProcess& process, const char* what) {
  if (owners.try_emplace({shard, epoch}, process.id()).first->second != process.id()) {
    Wrong(process.name() + " " + what + " in epoch " + std::to_string(epoch) + " of shard " +
          std::to_string(shard) + ", as another one did");
  }
}

void Simulation::NoteFormer(ShardId shard, Epoch epoch, const SimProcess& process) {
  const auto later = writers_.upper_bound({shard, epoch});
  if (later != writers_.end() && later->first.first == shard) {
    network_.Note("answer by a former owner", process.name());
  }
}

bool Simulation::failed() const {
  const auto wrong = [](const auto& oracle) { return !oracle.second->wrong().empty(); };
  return !wrong_.empty() || std::ranges::any_of(oracles_, wrong) ||
         std::ranges::any_of(entry_oracles_, wrong);
}

void Simulation::Wrong(const std::string& what) {
  network_.Note("WRONG", what);
  if (wrong_.size() < kWrongMax) {
    wrong_.push_back(what);
  }
}

}  // namespace vswap
