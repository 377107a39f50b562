#include "services/cluster_member.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "services/cluster/etcd_coordinator.h"
#include "services/cluster/etcd_wire.h"
#include "services/common/data_dir.h"

namespace vswap {
namespace {

constexpr size_t kIdBytesMax = 255;

}  // namespace

Status Validate(const MemberOptions& options) {
  if (options.id.empty() || options.id.size() > kIdBytesMax) {
    return InvalidField("id", std::to_string(options.id.size()) + " bytes long", "1..255 bytes");
  }
  return ParseEtcdEndpoints(options.etcd).status();
}

StatusOr<std::unique_ptr<Coordinator>> OpenCoordinator(const MemberOptions& options,
                                                       Executor& executor) {
  EtcdOptions etcd;
  StatusOr<std::vector<std::string>> endpoints = ParseEtcdEndpoints(options.etcd);
  if (!endpoints.ok()) {
    return endpoints.status();
  }
  etcd.endpoints = *std::move(endpoints);
  StatusOr<std::unique_ptr<EtcdCoordinator>> coordinator = EtcdCoordinator::Open(etcd, executor);
  if (!coordinator.ok()) {
    return coordinator.status();
  }
  return std::unique_ptr<Coordinator>(*std::move(coordinator));
}

Status BindToCluster(const std::string& data_dir, uint64_t cluster, const std::string& id) {
  const std::string path = data_dir + "/cluster";
  const std::string wanted = FormatDataDirId(cluster) + " " + id;
  if (std::filesystem::exists(path)) {
    std::string found;
    std::ifstream file(path);
    std::getline(file, found);
    return found == wanted ? Status()
                           : MakeError(StatusCode::kFailedPrecondition,
                                       "data-dir: " + data_dir + " belongs to \"" + found +
                                           "\", not to \"" + wanted + "\"");
  }
  if (std::filesystem::exists(data_dir + "/id") || std::filesystem::exists(data_dir + "/store")) {
    return MakeError(StatusCode::kFailedPrecondition,
                     "data-dir: " + data_dir + " holds data of a standalone");
  }
  return WriteWhole(path, wanted + "\n");
}

std::string AddressOf(const MemberOptions& options, const std::string& bound) {
  return options.advertise.empty() ? bound : options.advertise;
}

uint32_t CopiesWanted(const v1::ClusterRecord& cluster, v1::Tier tier) {
  return std::max(1u, tier == v1::TIER_COMPRESSED ? cluster.compressed_replicas()
                                                  : cluster.physical_replicas());
}

}  // namespace vswap
