#pragma once

#include <algorithm>
#include <atomic>

#include "client/client_stats.h"
#include "client/request.h"

namespace vswap::client {

// Counts finished calls. Thread-safe: nothing but atomics, since it is on the path of every page.
class CallCounters {
 public:
  void Count(RequestKind kind, uint64_t pages, Duration took, bool ok) {
    Operation& operation = operations_[Index(kind)];
    const auto us =
        static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
    const auto& bounds = ClientStats::kBucketsUs;
    const auto bucket = static_cast<size_t>(std::ranges::lower_bound(bounds, us) - bounds.begin());
    Add(operation.pages, pages);
    Add(operation.microseconds, us);
    Add(operation.buckets[bucket], 1);
    Add(operation.failed_calls, ok ? 0 : 1);
  }

  void Read(ClientStats& stats) const {
    constexpr std::array<const char*, kKinds> kNames = {"store", "load", "free", "prefetch",
                                                        "extents"};
    for (size_t i = 0; i < kKinds; ++i) {
      ClientStats::Operation& out = stats.operations[i];
      out = {kNames[i],
             0,
             operations_[i].failed_calls,
             operations_[i].pages,
             operations_[i].microseconds,
             {}};
      for (size_t b = 0; b < out.buckets.size(); ++b) {
        out.buckets[b] = operations_[i].buckets[b];
        out.calls += out.buckets[b];
      }
    }
  }

 private:
  using Counter = std::atomic<uint64_t>;
  static constexpr size_t kKinds = std::tuple_size_v<decltype(ClientStats::operations)>;
  struct Operation {
    Counter failed_calls{0};
    Counter pages{0};
    Counter microseconds{0};
    std::array<Counter, ClientStats::kBucketsUs.size() + 1> buckets{};
  };
  static size_t Index(RequestKind kind) {
    return static_cast<size_t>(kind) - static_cast<size_t>(RequestKind::kStore);
  }
  static void Add(Counter& counter, uint64_t amount) {
    counter.fetch_add(amount, std::memory_order_relaxed);
  }

  std::array<Operation, kKinds> operations_;
};

}  // namespace vswap::client
