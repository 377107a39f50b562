#pragma once

#include <string>

namespace vswap {

// HOST:PORT on the loopback, where nobody listens now and which this process has not been given
// before. For a server that is killed and listens there again: its port lies below those that the
// kernel gives to clients, as one of them could sit on the port meanwhile, or even connect to
// itself there. Thread-confined.
std::string FreeAddress();

}  // namespace vswap
