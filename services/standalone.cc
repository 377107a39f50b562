#include "services/standalone.h"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <thread>

#include "services/cluster/await.h"
#include "services/cluster/local_coordinator.h"
#include "services/cluster/registry.h"
#include "services/common/data_dir.h"
#include "services/common/thread_pool.h"
#include "services/compressor_parts.h"
#include "services/data_dir_lock.h"
#include "services/serving.h"
#include "services/store_parts.h"

namespace vswap {
namespace {

constexpr NodeId kCompressorNode = 1;
constexpr NodeId kStoreNode = 2;
// Each node's own.
constexpr SetId kCompressorSet = 1;
constexpr SetId kStoreSet = 2;
constexpr char kCompressorName[] = "compressor-1";
constexpr char kStoreName[] = "store-1";

}  // namespace

class Standalone::Parts {
 public:
  explicit Parts(const StandaloneOptions& options)
      : options_(options), compute_(ComputeThreads(options.front_end.threads)) {}
  ~Parts();

  Status Start();
  Status Drain();
  const Serving& serving() const { return *serving_; }

 private:
  Status OpenStore();
  Status OpenCompressor();
  Status Register(NodeId node, Tier tier, const char* name, Incarnation incarnation);
  Status StartFrontEnd();
  // The pages that are left in the arena; nothing where the time was over first.
  std::optional<uint64_t> MoveToStore(TimePoint deadline);
  void EndArena(std::optional<uint64_t> left);
  void StopThreads();

  const StandaloneOptions options_;
  SteadyClock clock_;
  SystemRandom random_;
  // The executor of the front-end and the compressor. The store has its own, so that none waits
  // behind the work of another; the coordinator shares that of the table log.
  ThreadPool compute_;
  std::unique_ptr<DataDirLock> directory_;
  std::unique_ptr<StoreParts> store_;
  std::unique_ptr<LocalCoordinator> coordinator_;
  std::unique_ptr<CompressorParts> compressor_;
  std::unique_ptr<FrontEnd> front_end_;
  std::unique_ptr<Serving> serving_;
};

Standalone::Parts::~Parts() {
  serving_.reset();
  StopThreads();
}

void Standalone::Parts::StopThreads() {
  compute_.Stop();
  if (store_ != nullptr) {
    store_->StopThreads();
  }
}

Status Standalone::Parts::OpenStore() {
  StatusOr<std::unique_ptr<StoreParts>> store =
      StoreParts::Open(options_.data_dir, options_.store, random_);
  if (!store.ok()) {
    return store.status();
  }
  store_ = *std::move(store);
  StatusOr<std::unique_ptr<LocalCoordinator>> coordinator =
      LocalCoordinator::Open(options_.data_dir + "/coordinator", store_->log_executor());
  if (!coordinator.ok()) {
    return coordinator.status();
  }
  coordinator_ = *std::move(coordinator);
  const StatusOr<std::optional<v1::NodeRecord>> known = FindNode(*coordinator_, kStoreName);
  if (!known.ok()) {
    return known.status();
  }
  if (!known->has_value() || (*known)->incarnation() != store_->incarnation()) {
    // A new table log issues versions from the beginning: an arena that outlived the old one holds
    // other pages under the same names, and must never be taken for ours.
    VSWAP_RETURN_IF_ERROR(RenewDataDirId(options_.data_dir, random_).status());
  }
  return Register(kStoreNode, Tier::kPhysical, kStoreName, store_->incarnation());
}

Status Standalone::Parts::OpenCompressor() {
  StatusOr<std::unique_ptr<CompressorParts>> compressor =
      CompressorParts::Open(options_.data_dir, options_.compressor, compute_, random_);
  if (!compressor.ok()) {
    return compressor.status();
  }
  compressor_ = *std::move(compressor);
  return Register(kCompressorNode, Tier::kCompressed, kCompressorName, compressor_->incarnation());
}

Status Standalone::Parts::Register(NodeId node, Tier tier, const char* name,
                                   Incarnation incarnation) {
  const StatusOr<std::optional<v1::NodeRecord>> known = FindNode(*coordinator_, name);
  if (!known.ok()) {
    return known.status();
  }
  if (known->has_value() && (*known)->incarnation() == incarnation) {
    return Status();
  }
  if (known->has_value() && (*known)->incarnation() != 0 && incarnation != 0) {
    spdlog::warn("{}: the data of its earlier incarnation is gone; pages it alone held are lost",
                 name);
  }
  v1::NodeRecord record;
  record.set_node(node);
  record.set_tier(static_cast<v1::Tier>(tier));
  record.set_name(name);
  record.set_machine(HostName());
  record.set_incarnation(incarnation);
  return RegisterNode(*coordinator_, record).status();
}

Status Standalone::Parts::StartFrontEnd() {
  Placement placement;
  placement.AddNode(
      {kStoreNode, Tier::kPhysical, kStoreName, store_->incarnation(), &store_->node()});
  placement.AddSet(kStoreSet, Tier::kPhysical, {kStoreNode});
  placement.AddNode({kCompressorNode, Tier::kCompressed, kCompressorName,
                     compressor_->incarnation(), &compressor_->node()});
  placement.AddSet(kCompressorSet, Tier::kCompressed, {kCompressorNode});
  front_end_ = std::make_unique<FrontEnd>(ToFrontEndOptions(options_.front_end, "frontend-1"),
                                          *coordinator_, std::vector<TableLog*>{&store_->log()},
                                          std::move(placement), compute_);
  StatusOr<std::unique_ptr<Serving>> serving =
      Serving::Listen(options_.listen, options_.metrics_listen, *front_end_, *coordinator_, clock_);
  if (!serving.ok()) {
    return serving.status();
  }
  serving_ = *std::move(serving);
  return AwaitStart(*front_end_);
}

Status Standalone::Parts::Start() {
  StatusOr<std::unique_ptr<DataDirLock>> directory = DataDirLock::Take(options_.data_dir);
  if (!directory.ok()) {
    return directory.status();
  }
  directory_ = *std::move(directory);
  directory_->RemoveEndpoints();
  if (std::filesystem::exists(options_.data_dir + "/cluster")) {
    return MakeError(StatusCode::kFailedPrecondition,
                     "data-dir: " + options_.data_dir + " belongs to a node of a cluster");
  }
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
  Status status = compressor_->Destroy();
  if (status.ok()) {
    // Nothing is left of the node's data, and nothing was lost.
    status = Register(kCompressorNode, Tier::kCompressed, kCompressorName, 0);
  }
  if (!status.ok()) {
    spdlog::warn("removing the arena: {}", std::string(MessageOf(status)));
  }
}

Status Standalone::Parts::Drain() {
  const TimePoint deadline = clock_.Now() + std::chrono::seconds(options_.front_end.drain_seconds);
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

StatusOr<std::unique_ptr<Role>> Standalone::Start(const StandaloneOptions& options) {
  auto parts = std::make_unique<Parts>(options);
  VSWAP_RETURN_IF_ERROR(parts->Start());
  return std::unique_ptr<Role>(new Standalone(std::move(parts)));
}

const std::string& Standalone::listen() const { return parts_->serving().listen(); }
const std::string& Standalone::metrics() const { return parts_->serving().metrics(); }
Status Standalone::Drain() { return parts_->Drain(); }

}  // namespace vswap
