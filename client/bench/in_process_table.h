#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "client/batcher.h"
#include "client/bench/bench_bodies.h"
#include "client/bench/table_target.h"
#include "client/bench/temp_directory.h"
#include "services/cluster/local_coordinator.h"
#include "services/common/mutex.h"
#include "services/common/thread_pool.h"
#include "services/frontend/front_end.h"

namespace vswap::bench {

// The service's own front-end in this process, whole but for its neighbours: a table log and a
// node that keep nothing. So it costs what the entry layer costs: validation, windows, versions,
// the log's queue, the table.
//
// A thread has a space of its own and up to kInFlight requests under way. See TableTarget.
class InProcessTable : public TableTarget {
 public:
  struct Options {
    uint32_t threads = 1;
    uint32_t shards = 64;
    uint64_t pages = 0;  // of each thread's space
    Fill fill = Fill::kZero;
  };

  static StatusOr<std::unique_ptr<TableTarget>> Make(const Options& options);
  ~InProcessTable() override;

  void Store(uint32_t thread, const std::vector<PageRange>& ranges) override;
  void Load(uint32_t thread, const std::vector<PageRange>& ranges) override;
  void Free(uint32_t thread, const std::vector<PageRange>& ranges) override;
  Status Wait(uint32_t thread) override;
  StatusOr<Usage> Measure() override;

 private:
  static constexpr size_t kInFlight = 8;

  // One thread's attachment. Requests are numbered from 1; one begins when the one kInFlight
  // before it is answered, so those up to there are the floor.
  struct Attached {
    OpenReply opened;
    Sequence next = 1;
    client::RequestPool pool{client::Batcher::kOpenMax + 1};  // for cutting ranges
    std::array<std::atomic<Sequence>, kInFlight> answered{};  // by sequence modulo kInFlight
    Mutex mutex;
    Status failure GUARDED_BY(mutex);
  };

  explicit InProcessTable(const Options& options);
  Status Start();
  StatusOr<OpenReply> Open(uint32_t thread);
  RequestHeader Begin(Attached& attached, ShardId shard);
  static void End(Attached& attached, Sequence sequence, const Status& status);
  template <typename Send>
  void ForEachBatch(uint32_t thread, const std::vector<PageRange>& ranges, const Send& send);

  const Options options_;
  NoTableLog log_;
  CountingNode node_;
  std::unique_ptr<TempDirectory> directory_;
  std::unique_ptr<LocalCoordinator> coordinator_;
  std::vector<std::unique_ptr<Attached>> attached_;
  ThreadPool executor_{1};  // for what is not answered within the call
  std::unique_ptr<FrontEnd> front_end_;
};

}  // namespace vswap::bench
