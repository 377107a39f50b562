#include "services/node_role.h"

#include <spdlog/spdlog.h>

#include "services/cluster/await.h"
#include "services/cluster/node_service.h"
#include "services/cluster/registry.h"
#include "services/common/thread_pool.h"
#include "services/data_dir_lock.h"
#include "services/front_end_parts.h"
#include "services/frontend/front_end_collector.h"
#include "services/frontend/status_report.h"
#include "services/rpc_server.h"

namespace vswap {
namespace {

constexpr int kCoordinatorThreads = 1;
constexpr auto kStatisticsMax = std::chrono::seconds(1);

class NodeRole : public Role {
 public:
  NodeRole(MemberOptions member, std::string data_dir)
      : member_(std::move(member)),
        data_dir_(std::move(data_dir)),
        coordinator_threads_(kCoordinatorThreads) {}
  ~NodeRole() override { Stop(); }

  Status StartCompressor(const CompressorOptions& options, uint64_t threads) {
    VSWAP_RETURN_IF_ERROR(Join());
    compute_ = std::make_unique<ThreadPool>(ComputeThreads(threads));
    StatusOr<std::unique_ptr<CompressorParts>> parts =
        CompressorParts::Open(data_dir_, options, *compute_, random_);
    if (!parts.ok()) {
      return parts.status();
    }
    compressor_ = *std::move(parts);
    return Serve(Tier::kCompressed, compressor_->node(), nullptr, compressor_->incarnation());
  }

  Status StartStore(StoreOptions options) {
    VSWAP_RETURN_IF_ERROR(Join());
    options.replicated = true;  // a shard whose only replica was here waits for an operator
    StatusOr<std::unique_ptr<StoreParts>> parts = StoreParts::Open(data_dir_, options, random_);
    if (!parts.ok()) {
      return parts.status();
    }
    store_ = *std::move(parts);
    return Serve(Tier::kPhysical, store_->node(), &store_->log(), store_->incarnation());
  }

  const std::string& listen() const override { return server_->listen(); }
  const std::string& metrics() const override { return server_->metrics(); }
  Status Drain() override {
    server_->SetReady(false);
    Stop();
    directory_->RemoveEndpoints();
    return store_ != nullptr ? store_->Close() : Status();
  }

 private:
  // Takes the data directory and binds it to the cluster.
  Status Join() {
    VSWAP_RETURN_IF_ERROR(Validate(member_));
    StatusOr<std::unique_ptr<DataDirLock>> directory = DataDirLock::Take(data_dir_);
    if (!directory.ok()) {
      return directory.status();
    }
    directory_ = *std::move(directory);
    directory_->RemoveEndpoints();
    StatusOr<std::unique_ptr<Coordinator>> coordinator =
        OpenCoordinator(member_, coordinator_threads_);
    if (!coordinator.ok()) {
      return coordinator.status();
    }
    coordinator_ = *std::move(coordinator);
    const StatusOr<v1::ClusterRecord> cluster = FindCluster(*coordinator_);
    if (!cluster.ok()) {
      return cluster.status();
    }
    cluster_ = *cluster;
    return BindToCluster(data_dir_, cluster->cluster(), member_.id);
  }

  Status Serve(Tier tier, Node& node, TableLog* log, Incarnation incarnation) {
    node_service_ = std::make_unique<NodeService>(node);
    node_service_->SetRegistered(false);
    if (log != nullptr) {
      log_service_ = std::make_unique<TableLogService>(*log);
    }
    StatusOr<std::unique_ptr<RpcServer>> server =
        RpcServer::Listen(member_.listen, member_.metrics_listen,
                          {.services =
                               [this](grpc::ServerBuilder& builder) {
                                 builder.RegisterService(node_service_.get());
                                 if (log_service_ != nullptr) {
                                   builder.RegisterService(log_service_.get());
                                 }
                               },
                           .metrics = [this, tier, &node] { return Collect(tier, node); }});
    if (!server.ok()) {
      return server.status();
    }
    server_ = *std::move(server);
    v1::NodeRecord record;
    record.set_tier(static_cast<v1::Tier>(tier));
    record.set_name(member_.id);
    record.set_machine(member_.machine.empty() ? HostName() : member_.machine);
    record.set_zone(member_.zone);
    record.set_incarnation(incarnation);
    record.set_address(AddressOf(member_, server_->listen()));
    record.set_registered_at_ms(UnixTimeMs());
    if (store_ != nullptr) {
      record.set_log_incarnation(store_->log_incarnation());
    }
    const StatusOr<v1::NodeRecord> registered = RegisterNode(*coordinator_, record);
    if (!registered.ok()) {
      return registered.status();
    }
    node_service_->SetRegistered(true);
    const Status joined =
        JoinSets(*coordinator_, *registered, CopiesWanted(cluster_, registered->tier()));
    if (!joined.ok()) {
      return joined;
    }
    spdlog::info("{} is node {}", member_.id, registered->node());
    VSWAP_RETURN_IF_ERROR(directory_->WriteEndpoints(server_->listen(), server_->metrics()));
    server_->SetReady(true);
    return Status();
  }

  std::vector<prometheus::MetricFamily> Collect(Tier tier, Node& node) const {
    const StatusOr<NodeStatistics> statistics = AwaitFor<NodeStatistics>(
        kStatisticsMax, [&](Callback<NodeStatistics> done) { node.Statistics(std::move(done)); });
    return statistics.ok() ? CollectNode(ToNodeStatus(0, tier, member_.id, *statistics))
                           : std::vector<prometheus::MetricFamily>();
  }

  void Stop() {
    if (server_ != nullptr) {
      server_->StopRequests();
    }
    coordinator_threads_.Stop();
    coordinator_.reset();
    if (compute_ != nullptr) {
      compute_->Stop();
    }
    if (store_ != nullptr) {
      store_->StopThreads();
    }
  }

  const MemberOptions member_;
  const std::string data_dir_;
  SystemRandom random_;
  ThreadPool coordinator_threads_;
  std::unique_ptr<DataDirLock> directory_;
  std::unique_ptr<Coordinator> coordinator_;
  v1::ClusterRecord cluster_;
  std::unique_ptr<ThreadPool> compute_;
  std::unique_ptr<CompressorParts> compressor_;
  std::unique_ptr<StoreParts> store_;
  std::unique_ptr<NodeService> node_service_;
  std::unique_ptr<TableLogService> log_service_;
  std::unique_ptr<RpcServer> server_;
};

}  // namespace

StatusOr<std::unique_ptr<Role>> StartCompressor(const CompressorRoleOptions& options) {
  auto role = std::make_unique<NodeRole>(options.member, options.data_dir);
  VSWAP_RETURN_IF_ERROR(role->StartCompressor(options.compressor, options.threads));
  return std::unique_ptr<Role>(std::move(role));
}

StatusOr<std::unique_ptr<Role>> StartStore(const StoreRoleOptions& options) {
  auto role = std::make_unique<NodeRole>(options.member, options.data_dir);
  VSWAP_RETURN_IF_ERROR(role->StartStore(options.store));
  return std::unique_ptr<Role>(std::move(role));
}

}  // namespace vswap
