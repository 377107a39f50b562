#pragma once

#include <memory>

#include "services/cluster_member.h"
#include "services/front_end_parts.h"
#include "services/role.h"

namespace vswap {

struct FrontEndRoleOptions {
  MemberOptions member;
  FrontEndOptions front_end;
  uint64_t lease_seconds = 3;  // after its death the next takes over
};

// A front-end as a process of a cluster. One of them owns all shards and serves, the others stand
// by and listen on nothing. The owner holds a lease. While it cannot be told whether the lease
// still is held (etcd is away), it goes on, and answers loads only when a log write has proved that
// the shard is still its own. Once another one has served, or a log has refused its epoch, it ends
// its process (std::_Exit).
//
// Each shard's table log has one replica, on a store chosen when the shard is made. Where that
// store's data is gone, no front-end starts: an operator has to decide.
//
// Returns when it serves, so a stand-by's may take for ever.
StatusOr<std::unique_ptr<Role>> StartFrontEnd(const FrontEndRoleOptions& options);

}  // namespace vswap
