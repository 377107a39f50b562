#pragma once

#include <vector>

#include "services/cluster/coordinator.h"
#include "services/frontend/front_end.h"
#include "services/frontend/placement.h"
#include "vswap/v1/admin.pb.h"

namespace vswap {

// What an operator sees of a whole cluster, and changes in it: calls block, for no executor's
// thread. Errors are the coordinator's, or DATA_LOSS: a record cannot be read.

// What the nodes answer within a second; of the others nothing.
std::vector<v1::NodeStatus> AskNodes(const Placement& placement);

StatusOr<v1::GetClusterResponse> ReportCluster(const Placement& placement,
                                               Coordinator& coordinator);

// As vswap.v1.AdminService.Drain says.
Status ChangeDrain(const Placement& placement, Coordinator& coordinator,
                   const v1::DrainRequest& request);

// As vswap.v1.AdminService.Forget says. A page or a log that comes to be on the node while this
// looks is not lost by it: its other copies are read, and made anew, and its own are read if it
// answers.
Status ForgetNode(const FrontEnd& front_end, Coordinator& coordinator, const std::string& name);

}  // namespace vswap
