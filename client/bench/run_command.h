#pragma once

#include "client/bench/workload.h"

namespace vswap {

// Loads a running service through libvswap and prints what it did: fill, store, load (compared),
// free. The exit status: 1 where any page failed or was wrong.
int RunWorkload(const ClientOptions& client_options, const BenchOptions& options);

}  // namespace vswap
