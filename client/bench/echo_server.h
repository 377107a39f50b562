#pragma once

namespace vswap::bench {

// The bare cost of gRPC: a server that answers every message of any stream with as many bytes as
// the message's first four (little endian) say, and looks at nothing. One completion queue, one
// thread. Prints `ready listen=HOST:PORT`; runs until it is killed. The exit status of a failed
// start.
int RunEchoServer();

}  // namespace vswap::bench
