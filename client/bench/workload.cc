#include "client/bench/workload.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <thread>

#include "client/bench/statistics.h"
#include "services/common/ids.h"

namespace vswap {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

double SecondsSince(SteadyTime begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// A thread's share of a phase: calls until `more` says no, each timed.
struct Worker {
  std::vector<std::byte> bytes;
  BenchResult result;
};

using Step = std::function<bool(Worker&, uint64_t index)>;

// Runs `step` with rising indices on as many threads as calls may be under way, until it says no or
// the time is over.
BenchResult Run(const std::string& name, const BenchOptions& options, uint64_t seconds,
                const Step& step) {
  std::vector<Worker> workers(options.in_flight);
  std::atomic<uint64_t> next{0};
  const SteadyTime begin = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (Worker& worker : workers) {
      threads.emplace_back([&] {
        worker.bytes.resize(options.batch_pages * kPageBytes);
        while ((seconds == 0 || SecondsSince(begin) < static_cast<double>(seconds)) &&
               step(worker, next++)) {
        }
      });
    }
  }
  BenchResult sum;
  sum.name = name;
  sum.seconds = SecondsSince(begin);
  for (const Worker& worker : workers) {
    sum.pages += worker.result.pages;
    sum.failed_pages += worker.result.failed_pages;
    sum.wrong_pages += worker.result.wrong_pages;
    sum.latencies_us.insert(sum.latencies_us.end(), worker.result.latencies_us.begin(),
                            worker.result.latencies_us.end());
  }
  std::ranges::sort(sum.latencies_us);
  return sum;
}

void Count(Worker& worker, const PagesResult& result, size_t pages, SteadyTime begin) {
  worker.result.latencies_us.push_back(SecondsSince(begin) * 1e6);
  const auto good = static_cast<uint64_t>(std::ranges::count(result.codes, PageCode::kOk));
  worker.result.pages += good;
  worker.result.failed_pages += pages - good;
}

// The slots of a batch: the last one of the working set may be short.
size_t BatchAt(const BenchOptions& options, uint64_t batch) {
  const uint64_t first = batch * options.batch_pages;
  return first >= options.pages
             ? 0
             : static_cast<size_t>(std::min(options.batch_pages, options.pages - first));
}

uint64_t RandomBatch(const BenchOptions& options, uint64_t index) {
  const uint64_t batches = (options.pages + options.batch_pages - 1) / options.batch_pages;
  return Mix64(options.seed * 31 + index) % batches;
}

void StoreBatch(SwapClient& client, const BenchOptions& options, Worker& worker, uint64_t batch) {
  const size_t pages = BatchAt(options, batch);
  const Offset first = batch * options.batch_pages;
  for (size_t i = 0; i < pages; ++i) {
    FillSlot(options, first + i, worker.bytes.data() + i * kPageBytes);
  }
  const SteadyTime begin = std::chrono::steady_clock::now();
  Count(worker, client.Store(first, ByteView(worker.bytes.data(), pages * kPageBytes)), pages,
        begin);
}

void LoadBatch(SwapClient& client, const BenchOptions& options, Worker& worker, uint64_t batch) {
  const size_t pages = BatchAt(options, batch);
  const Offset first = batch * options.batch_pages;
  const SteadyTime begin = std::chrono::steady_clock::now();
  const PagesResult result = client.Load(first, std::span(worker.bytes.data(), pages * kPageBytes));
  Count(worker, result, pages, begin);
  std::byte expected[kPageBytes];
  for (size_t i = 0; i < result.codes.size(); ++i) {
    FillSlot(options, first + i, expected);
    worker.result.wrong_pages +=
        result.codes[i] == PageCode::kOk &&
        std::memcmp(expected, worker.bytes.data() + i * kPageBytes, kPageBytes) != 0;
  }
}

}  // namespace

void FillSlot(const BenchOptions& options, Offset offset, std::byte* page) {
  constexpr char kText[] = "cold pages sleep far away from their warm host; ";
  const uint64_t key = Mix64(options.seed ^ Mix64(offset + 1));
  const double dice = static_cast<double>(key % 1000) / 1000;
  if (dice < options.zero_share) {
    std::memset(page, 0, kPageBytes);
    return;
  }
  const bool noise = dice < options.zero_share + options.random_share;
  uint64_t state = key;
  for (size_t at = 0; at < kPageBytes;) {
    state = Mix64(state + 0x9e3779b97f4a7c15u);
    std::memcpy(page + at, &state, sizeof(state));
    at += sizeof(state);
    for (int i = 0; !noise && i < 3 && at < kPageBytes; ++i) {
      const size_t bytes = std::min<size_t>(16, kPageBytes - at);
      std::memcpy(page + at, kText + (state >> (8 * i)) % 32, bytes);
      at += bytes;
    }
  }
}

double BenchResult::Percentile(double share) const {
  return bench::Percentile(latencies_us, share);
}

BenchResult FillPhase(SwapClient& client, const BenchOptions& options) {
  return Run("fill", options, 0, [&](Worker& worker, uint64_t index) {
    if (BatchAt(options, index) == 0) {
      return false;
    }
    StoreBatch(client, options, worker, index);
    return true;
  });
}

BenchResult StorePhase(SwapClient& client, const BenchOptions& options) {
  return Run("store", options, options.seconds, [&](Worker& worker, uint64_t index) {
    StoreBatch(client, options, worker, RandomBatch(options, index));
    return true;
  });
}

BenchResult LoadPhase(SwapClient& client, const BenchOptions& options) {
  return Run("load", options, options.seconds, [&](Worker& worker, uint64_t index) {
    LoadBatch(client, options, worker, RandomBatch(options, index));
    return true;
  });
}

BenchResult FreePhase(SwapClient& client, const BenchOptions& options) {
  return Run("free", options, 0, [&](Worker& worker, uint64_t index) {
    const size_t pages = BatchAt(options, index);
    if (pages == 0) {
      return false;
    }
    const SteadyTime begin = std::chrono::steady_clock::now();
    const Status status = client.Free(index * options.batch_pages, pages);
    worker.result.latencies_us.push_back(SecondsSince(begin) * 1e6);
    (status.ok() ? worker.result.pages : worker.result.failed_pages) += pages;
    return true;
  });
}

}  // namespace vswap
