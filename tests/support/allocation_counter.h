#pragma once

#include <cstdint>
#include <string>

namespace vswap {

// Counts allocations (malloc and its kin, operator new) by whose code asked for them. A program
// that links this has its allocator replaced, so one program for such tests, and no sanitizer.
//
// Each allocation is attributed by its stack, from the inside out: the first frame in this program
// makes it ours, the first one in another library makes it theirs. Frames of libraries that work
// for whoever calls them (libc, libstdc++, protobuf, absl, LZ4) are passed over: a std::string of
// ours is ours though libstdc++ asks for its memory, and gRPC's is gRPC's. A stack that leads
// nowhere is ours.
struct Allocations {
  uint64_t ours = 0;
  uint64_t theirs = 0;
  std::string first_of_ours;  // its stack, for the message of a test that fails
};

// Of all threads. All libraries are loaded.
void StartCounting();
Allocations StopCounting();

}  // namespace vswap
