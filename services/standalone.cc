#include "services/standalone.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "services/cluster/await.h"
#include "services/cluster/local_coordinator.h"
#include "services/common/data_dir.h"
#include "services/common/thread_pool.h"
#include "services/compressor/compressor_node.h"
#include "services/data_dir_lock.h"
#include "services/serving.h"
#include "services/store/rocksdb_node.h"
#include "services/store/rocksdb_table_log.h"
#include "vswap/v1/cluster.pb.h"

namespace vswap {
namespace {

constexpr NodeId kCompressorNode = 1;
constexpr NodeId kStoreNode = 2;
constexpr SetId kCompressorSet = 1;
constexpr SetId kStoreSet = 2;
constexpr auto kCallMax = std::chrono::seconds(30);
constexpr auto kStartMax = std::chrono::minutes(10);
constexpr auto kPoll = std::chrono::milliseconds(5);
constexpr int kStoreThreads = 4;
constexpr int kLogThreads = 2;
// Of what a nearly full arena holds, this much is written back at a time.
constexpr double kWritebackPart = 0.05;

int ComputeThreads(uint64_t wanted) {
  return static_cast<int>(wanted != 0 ? wanted : std::max(2u, std::thread::hardware_concurrency()));
}

std::string Numbered(const char* prefix, uint32_t number) {
  char key[32];
  std::snprintf(key, sizeof(key), "%s/%05u", prefix, number);
  return key;
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "localhost";
}

Writeback::Options WritebackAt(uint64_t percent) {
  const double start = static_cast<double>(percent) / 100;
  return {.start = start, .end = start * (1 - kWritebackPart)};
}

// False where the time was over first.
bool PollUntil(TimePoint deadline, const std::function<bool()>& condition) {
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

}  // namespace

class Standalone::Parts {
 public:
  explicit Parts(const StandaloneOptions& options)
      : options_(options),
        compute_(ComputeThreads(options.threads)),
        storage_(kStoreThreads),
        log_(kLogThreads) {}
  ~Parts();

  Status Start();
  Status Drain();
  const Serving& serving() const { return *serving_; }

 private:
  Status OpenStore();
  Status OpenCompressor();
  // Removes what others left behind whose data directories are gone.
  static void ReclaimArenas(const std::string& directory, uint64_t own_id);
  struct Registered {
    v1::NodeRecord record;
    uint64_t revision = 0;  // 0: never registered
  };
  StatusOr<Registered> FindNode(NodeId node);
  Status CommitNode(const Registered& node, SetId set);
  // Tells the coordinator who is there.
  Status Register(NodeId node, SetId set, Tier tier, const char* name, Incarnation incarnation);
  // Tells it that nothing is left of the node's data, and nothing was lost.
  Status RegisterEmpty(NodeId node, SetId set);
  Status StartFrontEnd();
  // The pages that are left in the arena; nothing where the time was over first.
  std::optional<uint64_t> MoveToStore(TimePoint deadline);
  void EndArena(std::optional<uint64_t> left);
  void StopThreads();

  const StandaloneOptions options_;
  SteadyClock clock_;
  SystemRandom random_;
  // The executors of: the front-end and the compressor; the store; the table log and the
  // coordinator, which stores wait for. Apart, so that none waits behind the work of another.
  ThreadPool compute_;
  ThreadPool storage_;
  ThreadPool log_;
  std::unique_ptr<DataDirLock> directory_;
  std::unique_ptr<LocalCoordinator> coordinator_;
  std::unique_ptr<StoreDb> store_;
  std::unique_ptr<RocksdbNode> store_node_;
  std::unique_ptr<RocksdbTableLog> table_log_;
  std::unique_ptr<SlabArena> arena_;
  std::unique_ptr<CompressorNode> compressor_node_;
  std::unique_ptr<FrontEnd> front_end_;
  std::unique_ptr<Serving> serving_;
};

Standalone::Parts::~Parts() {
  serving_.reset();
  StopThreads();
}

void Standalone::Parts::StopThreads() {
  compute_.Stop();
  storage_.Stop();
  log_.Stop();
}

Status Standalone::Parts::OpenStore() {
  StatusOr<std::unique_ptr<LocalCoordinator>> coordinator =
      LocalCoordinator::Open(options_.data_dir + "/coordinator", log_);
  if (!coordinator.ok()) {
    return coordinator.status();
  }
  coordinator_ = *std::move(coordinator);
  StatusOr<std::unique_ptr<StoreDb>> store =
      StoreDb::Open({.directory = options_.data_dir + "/store",
                     .block_cache_bytes = options_.block_cache,
                     .sync_log = options_.sync_log,
                     .discard_data = options_.discard_data},
                    random_);
  if (!store.ok()) {
    return store.status();
  }
  store_ = *std::move(store);
  StatusOr<std::unique_ptr<RocksdbNode>> node =
      RocksdbNode::Open(*store_, storage_, {.capacity_pages = options_.capacity_pages});
  if (!node.ok()) {
    return node.status();
  }
  store_node_ = *std::move(node);
  table_log_ = std::make_unique<RocksdbTableLog>(*store_, log_);
  const StatusOr<Registered> known = FindNode(kStoreNode);
  if (!known.ok()) {
    return known.status();
  }
  if (known->record.incarnation() != store_->incarnation()) {
    // A new table log issues versions from the beginning: an arena that outlived the old one holds
    // other pages under the same names, and must never be taken for ours.
    VSWAP_RETURN_IF_ERROR(RenewDataDirId(options_.data_dir, random_).status());
  }
  return Register(kStoreNode, kStoreSet, Tier::kPhysical, "store-1", store_->incarnation());
}

Status Standalone::Parts::OpenCompressor() {
  const StatusOr<uint64_t> id = ReadOrMakeDataDirId(options_.data_dir, random_);
  if (!id.ok()) {
    return id.status();
  }
  SlabArenaOptions options;
  options.path = options_.arena.empty() ? DefaultArenaPath(*id) : options_.arena;
  options.data_dir_id = *id;
  options.data_dir_path = std::filesystem::absolute(options_.data_dir).string();
  options.memory_max_bytes = options_.memory_max;
  options.allow_swappable = options_.allow_swappable;
  ReclaimArenas(std::filesystem::path(options.path).parent_path().string(), *id);
  StatusOr<std::unique_ptr<SlabArena>> arena = SlabArena::Open(options, random_);
  if (!arena.ok()) {
    return arena.status();
  }
  arena_ = *std::move(arena);
  const ArenaRecovery& found = arena_->recovery();
  spdlog::info("arena {}: {} pages found, {} unfinished, {} damaged, {} conflicting, {}",
               options.path, found.pages, found.unfinished, found.damaged, found.conflicting,
               arena_->locked() ? "locked" : "not locked");
  compressor_node_ = std::make_unique<CompressorNode>(*arena_, compute_);
  return Register(kCompressorNode, kCompressorSet, Tier::kCompressed, "compressor-1",
                  arena_->incarnation());
}

void Standalone::Parts::ReclaimArenas(const std::string& directory, uint64_t own_id) {
  const StatusOr<std::vector<std::string>> removed = ReclaimAbandoned(directory, own_id);
  if (!removed.ok()) {
    spdlog::warn("{}: cannot look for abandoned arenas: {}", directory,
                 std::string(MessageOf(removed.status())));
    return;
  }
  for (const std::string& path : *removed) {
    spdlog::info("removed {}: its data directory is gone", path);
  }
}

StatusOr<Standalone::Parts::Registered> Standalone::Parts::FindNode(NodeId node) {
  const std::string key = Numbered("nodes", node);
  const StatusOr<std::optional<KeyValue>> found = AwaitFor<std::optional<KeyValue>>(
      kCallMax, [&](auto done) { coordinator_->Get(key, std::move(done)); });
  if (!found.ok()) {
    return found.status();
  }
  Registered registered;
  registered.record.set_node(node);
  if (found->has_value()) {
    if (!registered.record.ParseFromString((*found)->value)) {
      return MakeError(StatusCode::kDataLoss, "coordinator: the record " + key + " cannot be read");
    }
    registered.revision = (*found)->revision;
  }
  return registered;
}

Status Standalone::Parts::CommitNode(const Registered& node, SetId set) {
  const std::string key = Numbered("nodes", node.record.node());
  v1::SetRecord members;
  members.set_set(set);
  members.set_tier(node.record.tier());
  members.add_nodes(node.record.node());
  const StatusOr<TransactionReply> reply = AwaitFor<TransactionReply>(kCallMax, [&](auto done) {
    coordinator_->Commit({{{key, node.revision}},
                          {{key, node.record.SerializeAsString()},
                           {Numbered("sets", set), members.SerializeAsString()}},
                          {}},
                         std::move(done));
  });
  return reply.ok() && !reply->succeeded
             ? MakeError(StatusCode::kAborted, key + " was changed by somebody else")
             : reply.status();
}

Status Standalone::Parts::Register(NodeId node, SetId set, Tier tier, const char* name,
                                   Incarnation incarnation) {
  StatusOr<Registered> known = FindNode(node);
  if (!known.ok()) {
    return known.status();
  }
  v1::NodeRecord& record = known->record;
  if (record.incarnation() == incarnation) {
    return Status();
  }
  if (record.incarnation() != 0) {
    spdlog::warn("{}: the data of its earlier incarnation is gone; pages it alone held are lost",
                 name);
  }
  record.set_tier(static_cast<v1::Tier>(tier));
  record.set_name(name);
  record.set_machine(HostName());
  record.set_incarnation(incarnation);
  return CommitNode(*known, set);
}

Status Standalone::Parts::RegisterEmpty(NodeId node, SetId set) {
  StatusOr<Registered> known = FindNode(node);
  if (!known.ok()) {
    return known.status();
  }
  known->record.set_incarnation(0);
  return CommitNode(*known, set);
}

Status Standalone::Parts::StartFrontEnd() {
  Placement placement;
  placement.AddNode(
      {kStoreNode, Tier::kPhysical, "store-1", store_->incarnation(), store_node_.get()});
  placement.AddSet(kStoreSet, Tier::kPhysical, {kStoreNode});
  placement.AddNode({kCompressorNode, Tier::kCompressed, "compressor-1", arena_->incarnation(),
                     compressor_node_.get()});
  placement.AddSet(kCompressorSet, Tier::kCompressed, {kCompressorNode});
  FrontEnd::Options options{.shard_count = static_cast<uint32_t>(options_.shards)};
  if (options_.writeback_percent < 100) {
    options.writeback = WritebackAt(options_.writeback_percent);
  }
  front_end_ = std::make_unique<FrontEnd>(std::move(options), *coordinator_,
                                          std::vector<TableLog*>{table_log_.get()},
                                          std::move(placement), compute_);
  StatusOr<std::unique_ptr<Serving>> serving =
      Serving::Listen(options_.listen, options_.metrics_listen, *front_end_, clock_);
  if (!serving.ok()) {
    return serving.status();
  }
  serving_ = *std::move(serving);
  return AwaitFor<bool>(kStartMax,
                        [&](Callback<bool> done) {
                          front_end_->Start([done = std::move(done)](const Status& status) {
                            done(status.ok() ? StatusOr<bool>(true) : status);
                          });
                        })
      .status();
}

Status Standalone::Parts::Start() {
  StatusOr<std::unique_ptr<DataDirLock>> directory = DataDirLock::Take(options_.data_dir);
  if (!directory.ok()) {
    return directory.status();
  }
  directory_ = *std::move(directory);
  directory_->RemoveEndpoints();
  VSWAP_RETURN_IF_ERROR(OpenStore());
  VSWAP_RETURN_IF_ERROR(OpenCompressor());
  VSWAP_RETURN_IF_ERROR(StartFrontEnd());
  VSWAP_RETURN_IF_ERROR(directory_->WriteEndpoints(serving_->listen(), serving_->metrics()));
  serving_->SetReady(true);
  return Status();
}

std::optional<uint64_t> Standalone::Parts::MoveToStore(TimePoint deadline) {
  const auto left = std::make_shared<std::atomic<int64_t>>(-1);
  front_end_->MoveAll(Tier::kCompressed, Tier::kPhysical,
                      [left](uint64_t pages) { *left = static_cast<int64_t>(pages); });
  if (!PollUntil(deadline, [&left] { return *left >= 0; })) {
    return std::nullopt;
  }
  return static_cast<uint64_t>(left->load());
}

void Standalone::Parts::EndArena(std::optional<uint64_t> left) {
  if (left != 0) {
    spdlog::warn("the arena stays: {} pages in it found no room in the store or no time",
                 left.has_value() ? std::to_string(*left) : "some");
    return;
  }
  Status status = arena_->Destroy();
  if (status.ok()) {
    status = RegisterEmpty(kCompressorNode, kCompressorSet);
  }
  if (!status.ok()) {
    spdlog::warn("removing the arena: {}", std::string(MessageOf(status)));
  }
}

Status Standalone::Parts::Drain() {
  const TimePoint deadline = clock_.Now() + std::chrono::seconds(options_.drain_seconds);
  spdlog::info("draining");
  serving_->SetReady(false);
  front_end_->Stop();
  PollUntil(deadline, [this] { return front_end_->Idle(); });
  serving_->StopRequests();
  std::optional<uint64_t> left;
  if (!options_.keep_arena) {
    left = MoveToStore(deadline);
  }
  if (!PollUntil(deadline, [this] { return front_end_->Idle(); })) {
    spdlog::warn("drain-seconds are over: what is under way is left to the next start");
  }
  serving_.reset();
  compute_.Stop();  // nobody uses the arena from here on
  if (!options_.keep_arena) {
    EndArena(left);
  }
  StopThreads();
  directory_->RemoveEndpoints();
  return store_->Close();
}

Standalone::Standalone(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Standalone::~Standalone() = default;

StatusOr<std::unique_ptr<Standalone>> Standalone::Start(const StandaloneOptions& options) {
  auto parts = std::make_unique<Parts>(options);
  VSWAP_RETURN_IF_ERROR(parts->Start());
  return std::unique_ptr<Standalone>(new Standalone(std::move(parts)));
}

const std::string& Standalone::listen() const { return parts_->serving().listen(); }
const std::string& Standalone::metrics() const { return parts_->serving().metrics(); }
Status Standalone::Drain() { return parts_->Drain(); }

}  // namespace vswap
