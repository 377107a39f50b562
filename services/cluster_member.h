#pragma once

#include <memory>
#include <string>

#include "services/cluster/coordinator.h"
#include "services/common/executor.h"
#include "vswap/v1/cluster.pb.h"

namespace vswap {

// What every process of a cluster is told.
struct MemberOptions {
  std::string etcd;  // HOST:PORT,...
  std::string id;    // name of the process in the cluster, 1..255 bytes; nobody else has it
  std::string listen = "127.0.0.1:0";
  std::string advertise;  // HOST:PORT that others use; empty: as bound
  std::string metrics_listen = "127.0.0.1:0";
  std::string machine;  // empty: the host's name
  std::string zone;
};

// INVALID_ARGUMENT names the setting.
Status Validate(const MemberOptions& options);

// Connects to etcd; does not wait for it.
StatusOr<std::unique_ptr<Coordinator>> OpenCoordinator(const MemberOptions& options,
                                                       Executor& executor);

// Binds a new data directory to the cluster and to the node's name for ever, in its file `cluster`
// (16 hex digits, a space, the name): data of another cluster answers to the same names, and data
// of another node is nobody's. FAILED_PRECONDITION: it belongs to others, or to a standalone.
Status BindToCluster(const std::string& data_dir, uint64_t cluster, const std::string& id);

// `advertise`, or `bound` where that is empty.
std::string AddressOf(const MemberOptions& options, const std::string& bound);

// Copies of each page of the tier that the cluster wants.
uint32_t CopiesWanted(const v1::ClusterRecord& cluster, v1::Tier tier);

}  // namespace vswap
