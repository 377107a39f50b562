#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "services/common/thread_pool.h"

namespace vswap {

// VSWAP_TEST_SEED, or else a new one; printed, so that a failure can be repeated.
inline uint64_t TestSeed() {
  const char* given = std::getenv("VSWAP_TEST_SEED");
  const uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 0) : SystemRandom().Next64();
  std::printf("VSWAP_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace vswap
