#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "services/common/ids.h"
#include "services/common/page.h"
#include "services/common/thread_pool.h"

namespace vswap {

using PageBytes = std::vector<std::byte>;

inline PageBytes ZeroPage() { return PageBytes(kPageBytes); }

// A page that follows from `key`: so many bytes of noise (a multiple of 8), the rest a run.
inline PageBytes NoisyPage(uint64_t key, size_t noise_bytes) {
  PageBytes bytes(kPageBytes, std::byte{0x5a});
  SeededRandom random(Mix64(key + 1));
  for (size_t at = 0; at + sizeof(uint64_t) <= std::min(noise_bytes, kPageBytes);
       at += sizeof(uint64_t)) {
    const uint64_t noise = random.Next64();
    std::memcpy(bytes.data() + at, &noise, sizeof(noise));
  }
  return bytes;
}

// One page to store.
struct ContentAt {
  Offset offset = 0;
  PageBytes bytes;
};

}  // namespace vswap
