#pragma once

#include <array>
#include <cstdint>

namespace vswap {

// What a client has done since it was opened, and what it is doing.
struct ClientStats {
  // Upper bounds of the latency buckets, in microseconds; the last bucket has none.
  static constexpr std::array<uint64_t, 16> kBucketsUs = {
      50,    100,   200,    500,    1000,   2000,    5000,    10000,
      20000, 50000, 100000, 200000, 500000, 1000000, 5000000, 30000000};

  // Whole calls, from being made to being answered.
  struct Operation {
    const char* name = "";
    uint64_t calls = 0;
    uint64_t failed_calls = 0;  // whose status was not OK
    uint64_t pages = 0;
    uint64_t microseconds = 0;  // of all calls together
    std::array<uint64_t, kBucketsUs.size() + 1> buckets{};
  };
  std::array<Operation, 5> operations;  // store, load, free, prefetch, extents

  uint64_t requests_sent = 0;    // batches, each sending
  uint64_t requests_resent = 0;  // of these, not for the first time
  uint64_t reconnects = 0;       // streams that ended and were begun again, or will be
  uint64_t in_flight_bytes = 0;  // page bytes of requests sent and not answered
  uint64_t in_flight_pages = 0;  // of calls that were let in
};

}  // namespace vswap
