#include "services/cluster_member.h"

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

Status BindToCluster(const std::string& data_dir, uint64_t cluster) {
  const std::string path = data_dir + "/cluster";
  const std::string wanted = FormatDataDirId(cluster);
  std::string found;
  if (std::ifstream(path) >> found) {
    return found == wanted ? Status()
                           : MakeError(StatusCode::kFailedPrecondition,
                                       "data-dir: " + data_dir + " belongs to cluster " + found +
                                           ", this one is " + wanted);
  }
  std::ofstream file(path);
  file << wanted << "\n";
  file.close();
  return file ? Status() : MakeError(StatusCode::kUnavailable, "cannot write " + path);
}

std::string AddressOf(const MemberOptions& options, const std::string& bound) {
  return options.advertise.empty() ? bound : options.advertise;
}

}  // namespace vswap
