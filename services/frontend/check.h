#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "services/cluster/table_log.h"
#include "services/frontend/context.h"
#include "services/frontend/shard.h"

namespace vswap {

// What a check has found. Differences that traffic explains are not in it: whatever looks wrong is
// looked at up to three times.
struct CheckReport {
  static constexpr size_t kProblemsMax = 100;  // of `problems`; more are only counted

  uint64_t slots = 0;      // entries in the tables
  uint64_t log_slots = 0;  // records in the table logs, of all replicas
  uint64_t records = 0;    // pages on the nodes
  uint64_t problems_total = 0;
  std::vector<std::string> problems;  // one line each
  // What could not be looked at: nothing is said of it.
  std::vector<std::string> skipped;
};

// Compares the tables with the counters, the table logs and the inventories of all nodes, without
// changing any of them: each entry has its record in each log replica and on each node of its set;
// each log record and each page on a node has its entry; the counts are the sums.
//
// One shard and one node at a time; while it runs, the records of a shard's log are in memory
// (about 100 bytes each), and the names of a node are kept as marks in the table. Bad at being
// beside traffic on large shards: comparing a shard holds its lock for about a microsecond an
// entry.
//
// `done` runs once, on the executor. One check at a time: FrontEnd sees to that.
void CheckEverything(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
                     std::function<void(CheckReport)> done);

}  // namespace vswap
