#pragma once

#include <string>

#include "client/nbd/exports.h"
#include "client/nbd/host.h"

namespace vswap::nbd {

// What the plugin shows at /metrics, as Prometheus' text: the process, and each export in use.
std::string MetricsText(const HostState& host, Exports& exports);

}  // namespace vswap::nbd
