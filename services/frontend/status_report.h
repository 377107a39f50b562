#pragma once

#include "services/frontend/front_end.h"
#include "vswap/v1/admin.pb.h"

namespace vswap {

// What an operator sees of a front-end and its nodes. Waits for the nodes' statistics, at most a
// second each: a node that has not answered by then is left out. Not for an executor's thread.
v1::GetStatusResponse MakeStatusReport(FrontEnd& front_end);

// Of this process.
v1::ProcessStatus OwnProcessStatus();
v1::NodeStatus ToNodeStatus(NodeId node, Tier tier, const std::string& name,
                            const NodeStatistics& statistics);

}  // namespace vswap
