#include "client/bench/sparse.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "client/bench/in_process_table.h"
#include "client/bench/service_table.h"
#include "client/bench/statistics.h"
#include "client/bench/table_phases.h"

namespace vswap::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Round {
  TableTarget::Usage full;
  TableTarget::Usage freed;
  PhaseTime fill;
  PhaseTime free;
};

double Growth(const TableTarget::Usage& after, const TableTarget::Usage& before) {
  return static_cast<double>(after.resident_bytes) - static_cast<double>(before.resident_bytes);
}

class SparseRun {
 public:
  SparseRun(const SparseOptions& options, TableTarget& table) : options_(options), table_(table) {}

  StatusOr<Json> Run() {
    const StatusOr<TableTarget::Usage> empty = table_.Measure();
    if (!empty.ok()) {
      return empty.status();
    }
    empty_ = *empty;
    for (uint32_t i = 0; i < options_.rounds; ++i) {
      Round round;
      VSWAP_RETURN_IF_ERROR(Phase(&TableTarget::Store, &round.fill, &round.full));
      VSWAP_RETURN_IF_ERROR(Phase(&TableTarget::Free, &round.free, &round.freed));
      rounds_.push_back(round);
    }
    return Report();
  }

 private:
  Status Phase(void (TableTarget::*call)(uint32_t, const std::vector<PageRange>&), PhaseTime* time,
               TableTarget::Usage* usage) {
    const uint64_t stride = options_.pages / options_.clusters;
    const StatusOr<PhaseTime> timed = RunPhase(table_, 1, options_.clusters, [&](uint32_t thread) {
      for (uint64_t first = 0; first < options_.clusters; first += kBatchPagesMax) {
        std::vector<PageRange> ranges;
        const uint64_t end = std::min(first + kBatchPagesMax, options_.clusters);
        for (uint64_t i = first; i < end; ++i) {
          ranges.push_back({i * stride, 1});
        }
        (table_.*call)(thread, ranges);
      }
    });
    if (!timed.ok()) {
      return timed.status();
    }
    *time = *timed;
    const StatusOr<TableTarget::Usage> measured = table_.Measure();
    if (measured.ok()) {
      *usage = *measured;
    }
    return measured.status();
  }

  double MedianOf(const std::function<double(const Round&)>& value) const {
    std::vector<double> values;
    for (const Round& round : rounds_) {
      values.push_back(value(round));
    }
    return Median(values);
  }

  Json Report() const {
    const Round& last = rounds_.back();
    return {
        {"command", "sparse"},
        {"target", options_.frontend.empty() ? "in-process" : options_.frontend},
        {"clusters", options_.clusters},
        {"pages", options_.pages},
        {"rounds", options_.rounds},
        {"live_slots", last.full.live_slots},
        {"live_slots_freed", last.freed.live_slots},
        {"resident_bytes_before", empty_.resident_bytes},
        {"resident_bytes_full", last.full.resident_bytes},
        {"resident_bytes_freed", last.freed.resident_bytes},
        {"bytes_per_cluster", Growth(last.full, empty_) / static_cast<double>(options_.clusters)},
        {"given_back", MedianOf([this](const Round& round) {
           const double growth = Growth(round.full, empty_);
           return growth > 0 ? 1 - Growth(round.freed, empty_) / growth : 0;
         })},
        {"fill_clusters_per_second",
         MedianOf([](const Round& round) { return round.fill.SlotsPerSecond(); })},
        {"free_clusters_per_second",
         MedianOf([](const Round& round) { return round.free.SlotsPerSecond(); })}};
  }

  const SparseOptions options_;
  TableTarget& table_;
  TableTarget::Usage empty_;
  std::vector<Round> rounds_;
};

}  // namespace

StatusOr<nlohmann::ordered_json> MeasureSparse(const SparseOptions& options) {
  if (options.clusters > options.pages / kClusterSlots) {
    return InvalidField("clusters", std::to_string(options.clusters),
                        "1.." + std::to_string(options.pages / kClusterSlots) + ", pages / 512");
  }
  StatusOr<std::unique_ptr<TableTarget>> table =
      options.frontend.empty()
          ? InProcessTable::Make({.shards = options.shards, .pages = options.pages})
          : ServiceTable::Make(
                {.frontend = options.frontend, .space = options.space, .pages = options.pages});
  if (!table.ok()) {
    return table.status();
  }
  return SparseRun(options, **table).Run();
}

}  // namespace vswap::bench
