#pragma once

#include <memory>

#include "services/cluster_member.h"
#include "services/front_end_parts.h"
#include "services/role.h"

namespace vswap {

struct FrontEndRoleOptions {
  MemberOptions member;
  FrontEndOptions front_end{.shards = 256};
  // Of a new cluster: stores, on different machines, that keep each shard's table log.
  uint64_t log_replicas = 2;
  // Of a new cluster: copies of each page of the tier, on different machines.
  uint64_t compressed_replicas = 2;
  uint64_t physical_replicas = 2;
  uint64_t lease_seconds = 3;  // after its death the others take over
};

// A front-end as a process of a cluster. All front-ends serve: the shards are spread over them, and
// move when one joins, leaves or dies (see Ownership).
//
// Returns once there are a compressor and a store, and every shard of the cluster has an owner.
StatusOr<std::unique_ptr<Role>> StartFrontEnd(const FrontEndRoleOptions& options);

}  // namespace vswap
