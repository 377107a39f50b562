#pragma once

#include <atomic>
#include <cstdint>

#include "services/common/executor.h"
#include "services/frontend/placement.h"
#include "services/frontend/releaser.h"
#include "services/frontend/repairs.h"
#include "services/frontend/validity.h"

namespace vswap {

class ShardTable;

// What the paths count; read by the metrics and the status page. Every refusal and discard has a
// counter.
struct FrontEndCounters {
  std::atomic<uint64_t> stored_zero{0};
  std::atomic<uint64_t> stored_compressed{0};
  std::atomic<uint64_t> stored_physical{0};
  std::atomic<uint64_t> loaded_none{0};
  std::atomic<uint64_t> loaded_zero{0};
  std::atomic<uint64_t> loaded_compressed{0};
  std::atomic<uint64_t> loaded_physical{0};
  std::atomic<uint64_t> freed{0};
  std::atomic<uint64_t> allocated{0};
  std::atomic<uint64_t> duplicated{0};
  std::atomic<uint64_t> prefetched{0};
  std::atomic<uint64_t> moved{0};
  std::atomic<uint64_t> written_back{0};      // of the moved: to the physical tier, to make room
  std::atomic<uint64_t> rebuilt{0};           // of the moved: to sets with more lasting copies
  std::atomic<uint64_t> repaired{0};          // of the moved: since a copy was missing or damaged
  std::atomic<uint64_t> copies_missing{0};    // found missing or damaged, while another was sound
  std::atomic<uint64_t> writeback_sleeps{0};  // looks that found the physical tier without room
  std::atomic<uint64_t> bytes_in{0};          // page bytes received with stores
  std::atomic<uint64_t> bytes_out{0};         // page bytes sent with loads
  std::atomic<uint64_t> rejected_no_room{0};
  std::atomic<uint64_t> rejected_invalid{0};
  std::atomic<uint64_t> rejected_corrupt{0};
  std::atomic<uint64_t> rejected_unavailable{0};
  std::atomic<uint64_t> rejected_not_found{0};    // stores to what is no entry
  std::atomic<uint64_t> rejected_shared{0};       // stores to entries with several references
  std::atomic<uint64_t> rejected_allocations{0};  // requests
  std::atomic<uint64_t> stores_degraded{0};       // pages: with fewer copies than are wanted
  std::atomic<uint64_t> stores_fenced{0};
  std::atomic<uint64_t> overlap_waits{0};
  std::atomic<uint64_t> incompressible{0};
  std::atomic<uint64_t> loads_data_loss{0};
  std::atomic<uint64_t> loads_unavailable{0};
  std::atomic<uint64_t> loads_not_found{0};
  std::atomic<uint64_t> loads_mixed{0};   // requests
  std::atomic<uint64_t> loads_hedged{0};  // pages asked of another copy before the first answered
  std::atomic<uint64_t> load_retries{0};
  std::atomic<uint64_t> pages_marked_lost{0};
  std::atomic<uint64_t> pages_revived{0};
  std::atomic<uint64_t> orphans_deleted{0};
  std::atomic<uint64_t> comparisons{0};  // of a node with the tables, to the end
  std::atomic<uint64_t> node_starts{0};  // seen by this front-end since its own
  std::atomic<uint64_t> shards_taken{0};
  std::atomic<uint64_t> shards_lost{0};  // another front-end owns them
  std::atomic<uint64_t> shards_given_up{0};
  std::atomic<uint64_t> shards_released{0};
  std::atomic<uint64_t> logs_begun_anew{0};  // from memory: every store of the log had lost it
  std::atomic<uint64_t> log_replicas_added{0};
  std::atomic<uint64_t> log_replicas_removed{0};
};

// What the paths share; owned by FrontEnd and alive as long as any call.
struct FrontEndContext {
  const Placement& placement;
  Releaser& releaser;
  Repairs& repairs;
  OverlapGate& gate;
  Executor& executor;
  FrontEndCounters& counters;
  const ShardTable& shards;
  const Validity& validity;
  const Clock& clock;
};

}  // namespace vswap
