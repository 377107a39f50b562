#include "client/bench/slots.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "client/bench/in_process_table.h"
#include "client/bench/service_table.h"
#include "client/bench/statistics.h"
#include "client/bench/table_phases.h"

namespace vswap::bench {
namespace {

using Json = nlohmann::ordered_json;
using Call = void (TableTarget::*)(uint32_t, const std::vector<PageRange>&);

class SlotsRun {
 public:
  SlotsRun(const SlotsOptions& options, TableTarget& table) : options_(options), table_(table) {}

  StatusOr<Json> Run() {
    VSWAP_RETURN_IF_ERROR(Take(&empty_));
    VSWAP_RETURN_IF_ERROR(All("fill", &TableTarget::Store));
    VSWAP_RETURN_IF_ERROR(Take(&full_));
    for (uint32_t round = 0; round < options_.rounds; ++round) {
      VSWAP_RETURN_IF_ERROR(Some("store", &TableTarget::Store, round));
      VSWAP_RETURN_IF_ERROR(Some("load", &TableTarget::Load, round));
    }
    VSWAP_RETURN_IF_ERROR(Some("free", &TableTarget::Free, 0));
    VSWAP_RETURN_IF_ERROR(All("empty", &TableTarget::Free));
    VSWAP_RETURN_IF_ERROR(Take(&freed_));
    return Report();
  }

  // Whole batches; the last thread may have fewer slots in use.
  static uint64_t PagesPerThread(const SlotsOptions& options) {
    const uint64_t each = (options.entries + options.threads - 1) / options.threads;
    return (each + options.batch - 1) / options.batch * options.batch;
  }

 private:
  // Slots of the thread that are in use: the threads share the entries.
  uint64_t SlotsOf(uint32_t thread) const {
    const uint64_t first = thread * PagesPerThread(options_);
    return first >= options_.entries ? 0
                                     : std::min(PagesPerThread(options_), options_.entries - first);
  }

  Status Take(TableTarget::Usage* usage) {
    const StatusOr<TableTarget::Usage> measured = table_.Measure();
    if (measured.ok()) {
      *usage = *measured;
    }
    return measured.status();
  }

  // Every slot once, in the largest batches.
  Status All(const std::string& name, Call call) {
    return Phase(name, options_.entries, [&, call](uint32_t thread) {
      const uint64_t slots = SlotsOf(thread);
      for (uint64_t first = 0; first < slots; first += kBatchPagesMax) {
        (table_.*call)(thread, {{first, std::min<uint64_t>(kBatchPagesMax, slots - first)}});
      }
    });
  }

  // So many slots in batches of the size that was asked for, at scattered places; a free
  // takes none twice.
  Status Some(const std::string& name, Call call, uint32_t round) {
    const uint64_t wanted =
        std::max<uint64_t>(1, options_.operations / options_.threads / options_.batch);
    const bool once = call == &TableTarget::Free;
    uint64_t slots = 0;
    std::vector<uint64_t> batches;  // one a thread
    for (uint32_t thread = 0; thread < options_.threads; ++thread) {
      const uint64_t count = SlotsOf(thread) / options_.batch;
      batches.push_back(once ? std::min(count, wanted) : count == 0 ? 0 : wanted);
      slots += batches.back() * options_.batch;
    }
    return Phase(name, slots, [&, call, round](uint32_t thread) {
      const uint64_t count = SlotsOf(thread) / options_.batch;
      for (uint64_t i = 0; i < batches[thread]; ++i) {
        const uint64_t batch = Scattered((round * batches[thread] + i) % count, count);
        (table_.*call)(thread, {{batch * options_.batch, options_.batch}});
      }
    });
  }

  Status Phase(const std::string& name, uint64_t slots, const std::function<void(uint32_t)>& work) {
    const StatusOr<PhaseTime> time = RunPhase(table_, options_.threads, slots, work);
    if (time.ok()) {
      times_[name].push_back(*time);
    }
    return time.status();
  }

  Json PhaseJson(const std::string& name) {
    std::vector<double> per_second;
    std::vector<double> cpu_ns;
    for (const PhaseTime& time : times_[name]) {
      per_second.push_back(time.SlotsPerSecond());
      cpu_ns.push_back(time.CpuNsPerSlot());
    }
    return {{"operations", times_[name].front().slots},
            {"operations_per_second", Median(per_second)},
            {"cpu_ns_per_operation", Median(cpu_ns)}};
  }

  Json Report() {
    const auto live = static_cast<double>(full_.live_slots);
    const auto growth =
        static_cast<double>(full_.resident_bytes) - static_cast<double>(empty_.resident_bytes);
    Json json = {{"command", "slots"},
                 {"target", options_.frontend.empty() ? "in-process" : options_.frontend},
                 {"entries", options_.entries},
                 {"threads", options_.threads},
                 {"shards", options_.shards},
                 {"batch", options_.batch},
                 {"rounds", options_.rounds},
                 {"fill_with", options_.fill == Fill::kZero ? "zero" : "compressed"},
                 {"live_slots", full_.live_slots},
                 {"resident_bytes_before", empty_.resident_bytes},
                 {"resident_bytes_full", full_.resident_bytes},
                 {"resident_bytes_freed", freed_.resident_bytes},
                 {"live_slots_freed", freed_.live_slots},
                 {"bytes_per_slot", live > 0 ? growth / live : 0}};
    if (!options_.frontend.empty()) {
      json["shards"] = nullptr;
    }
    for (const char* name : {"fill", "store", "load", "free"}) {
      json[name] = PhaseJson(name);
    }
    return json;
  }

  const SlotsOptions options_;
  TableTarget& table_;
  TableTarget::Usage empty_;
  TableTarget::Usage full_;
  TableTarget::Usage freed_;
  std::map<std::string, std::vector<PhaseTime>> times_;
};

}  // namespace

StatusOr<nlohmann::ordered_json> MeasureSlots(const SlotsOptions& options) {
  const uint64_t pages = SlotsRun::PagesPerThread(options);
  StatusOr<std::unique_ptr<TableTarget>> table =
      options.frontend.empty() ? InProcessTable::Make({.threads = options.threads,
                                                       .shards = options.shards,
                                                       .pages = pages,
                                                       .fill = options.fill})
                               : ServiceTable::Make({.frontend = options.frontend,
                                                     .space = options.space,
                                                     .threads = options.threads,
                                                     .pages = pages,
                                                     .fill = options.fill});
  if (!table.ok()) {
    return table.status();
  }
  return SlotsRun(options, **table).Run();
}

}  // namespace vswap::bench
