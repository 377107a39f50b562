#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/bench/measured_service.h"
#include "client/bench/table_target.h"
#include "client/swap_client.h"
#include "services/common/mutex.h"

namespace vswap::bench {

// A space of a running service, filled through libvswap. Calls come back when they are answered;
// slots, memory and CPU time are those of the service's status. See TableTarget.
class ServiceTable : public TableTarget {
 public:
  struct Options {
    std::string frontend;
    std::string space;  // made if absent
    uint32_t threads = 1;
    uint64_t pages = 0;  // of each thread
    Fill fill = Fill::kZero;
  };

  static StatusOr<std::unique_ptr<TableTarget>> Make(const Options& options);

  void Store(uint32_t thread, const std::vector<PageRange>& ranges) override;
  void Load(uint32_t thread, const std::vector<PageRange>& ranges) override;
  void Free(uint32_t thread, const std::vector<PageRange>& ranges) override;
  Status Wait(uint32_t thread) override;
  StatusOr<Usage> Measure() override;

 private:
  explicit ServiceTable(const Options& options);
  Status Start();
  std::vector<PageRange> Shift(uint32_t thread, std::vector<PageRange> ranges) const;
  void Note(const Status& status);

  const Options options_;
  const std::vector<std::byte> stored_;         // what every batch stores
  std::vector<std::vector<std::byte>> loaded_;  // one a thread
  std::unique_ptr<MeasuredService> service_;
  std::unique_ptr<SwapClient> client_;
  Mutex mutex_;
  Status failure_ GUARDED_BY(mutex_);
};

}  // namespace vswap::bench
