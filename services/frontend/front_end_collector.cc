#include "services/frontend/front_end_collector.h"

#include <prometheus/metric_family.h>

#include "proto/space_status.h"
#include "services/cluster/circuit_breaker.h"
#include "services/frontend/status_report.h"

namespace vswap {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;
using Counter = std::atomic<uint64_t> FrontEndCounters::*;

// One line a counter: every refusal and every discard is here.
struct CounterRow {
  const char* name;
  const char* help;
  const char* label;  // null: none
  const char* value;
  Counter counter;
};

constexpr char kStores[] = "vswap_stores_total";
constexpr char kStoresHelp[] = "Pages stored and acknowledged, by what came to be behind them.";
constexpr char kLoads[] = "vswap_loads_total";
constexpr char kLoadsHelp[] = "Pages loaded, by what was behind them.";
constexpr char kRejects[] = "vswap_alloc_reject_total";
constexpr char kRejectsHelp[] =
    "Pages of stores that were refused; with reason no_slots: allocations.";
constexpr char kLoadFailures[] = "vswap_load_failures_total";
constexpr char kLoadFailuresHelp[] =
    "Pages of loads that were answered with an error; with reason mixed: requests.";

// Rows of one name stand together.
constexpr CounterRow kCounters[] = {
    {kStores, kStoresHelp, "backing", "zero", &FrontEndCounters::stored_zero},
    {kStores, kStoresHelp, "backing", "compressed", &FrontEndCounters::stored_compressed},
    {kStores, kStoresHelp, "backing", "physical", &FrontEndCounters::stored_physical},
    {kLoads, kLoadsHelp, "backing", "none", &FrontEndCounters::loaded_none},
    {kLoads, kLoadsHelp, "backing", "zero", &FrontEndCounters::loaded_zero},
    {kLoads, kLoadsHelp, "backing", "compressed", &FrontEndCounters::loaded_compressed},
    {kLoads, kLoadsHelp, "backing", "physical", &FrontEndCounters::loaded_physical},
    {kRejects, kRejectsHelp, "reason", "no_room", &FrontEndCounters::rejected_no_room},
    {kRejects, kRejectsHelp, "reason", "invalid", &FrontEndCounters::rejected_invalid},
    {kRejects, kRejectsHelp, "reason", "corrupt", &FrontEndCounters::rejected_corrupt},
    {kRejects, kRejectsHelp, "reason", "unavailable", &FrontEndCounters::rejected_unavailable},
    {kRejects, kRejectsHelp, "reason", "not_found", &FrontEndCounters::rejected_not_found},
    {kRejects, kRejectsHelp, "reason", "shared", &FrontEndCounters::rejected_shared},
    {kRejects, kRejectsHelp, "reason", "no_slots", &FrontEndCounters::rejected_allocations},
    {kRejects, kRejectsHelp, "reason", "fenced", &FrontEndCounters::stores_fenced},
    {kLoadFailures, kLoadFailuresHelp, "reason", "data_loss", &FrontEndCounters::loads_data_loss},
    {kLoadFailures, kLoadFailuresHelp, "reason", "unavailable",
     &FrontEndCounters::loads_unavailable},
    {kLoadFailures, kLoadFailuresHelp, "reason", "not_found", &FrontEndCounters::loads_not_found},
    {kLoadFailures, kLoadFailuresHelp, "reason", "mixed", &FrontEndCounters::loads_mixed},
    {"vswap_frees_total", "Slots freed that had something behind them.", nullptr, nullptr,
     &FrontEndCounters::freed},
    {"vswap_allocated_total", "Entries handed out in allocated spaces.", nullptr, nullptr,
     &FrontEndCounters::allocated},
    {"vswap_duplicated_total", "References added to entries.", nullptr, nullptr,
     &FrontEndCounters::duplicated},
    {"vswap_prefetched_total", "Pages that a prefetch has read.", nullptr, nullptr,
     &FrontEndCounters::prefetched},
    {"vswap_moves_total", "Pages moved from one node to another.", nullptr, nullptr,
     &FrontEndCounters::moved},
    {"vswap_writebacks_total", "Cold pages moved to the physical tier to keep room in memory.",
     nullptr, nullptr, &FrontEndCounters::written_back},
    {"vswap_rebuilds_total",
     "Pages moved since they had fewer lasting copies than are wanted: after the loss of a node, "
     "or "
     "off one that drains.",
     nullptr, nullptr, &FrontEndCounters::rebuilt},
    {"vswap_repairs_total", "Pages moved since one of their copies was missing or damaged.",
     nullptr, nullptr, &FrontEndCounters::repaired},
    {"vswap_copies_missing_total",
     "Copies of pages found missing or damaged where another one may be sound.", nullptr, nullptr,
     &FrontEndCounters::copies_missing},
    {"vswap_stores_degraded_total", "Pages stored with fewer copies than are wanted.", nullptr,
     nullptr, &FrontEndCounters::stores_degraded},
    {"vswap_writeback_sleeps_total",
     "Times that the compressed tier was nearly full and nothing could be moved.", nullptr, nullptr,
     &FrontEndCounters::writeback_sleeps},
    {"vswap_incompressible_total", "Pages that did not shrink enough for the compressed tier.",
     nullptr, nullptr, &FrontEndCounters::incompressible},
    {"vswap_received_page_bytes_total", "Page bytes received with stores.", nullptr, nullptr,
     &FrontEndCounters::bytes_in},
    {"vswap_sent_page_bytes_total", "Page bytes sent with loads.", nullptr, nullptr,
     &FrontEndCounters::bytes_out},
    {"vswap_overlap_waits_total", "Stores that waited for the overlap reserve.", nullptr, nullptr,
     &FrontEndCounters::overlap_waits},
    {"vswap_load_retries_total", "Pages looked up again since a node did not have them.", nullptr,
     nullptr, &FrontEndCounters::load_retries},
    {"vswap_loads_hedged_total",
     "Pages that another copy was asked for since the first did not answer in time.", nullptr,
     nullptr, &FrontEndCounters::loads_hedged},
    {"vswap_lost_total", "Pages found to be lost.", nullptr, nullptr,
     &FrontEndCounters::pages_marked_lost},
    {"vswap_revived_total", "Lost pages whose copy came back.", nullptr, nullptr,
     &FrontEndCounters::pages_revived},
    {"vswap_orphans_deleted_total", "Records deleted that no entry named.", nullptr, nullptr,
     &FrontEndCounters::orphans_deleted},
    {"vswap_comparisons_total", "Times that all records of a node were compared with the tables.",
     nullptr, nullptr, &FrontEndCounters::comparisons},
    {"vswap_shards_taken_total", "Shards that this front-end has come to own.", nullptr, nullptr,
     &FrontEndCounters::shards_taken},
    {"vswap_shards_released_total", "Shards given up to another front-end.", nullptr, nullptr,
     &FrontEndCounters::shards_released},
    {"vswap_shards_given_up_total", "Shards that an operator had begin anew, without their pages.",
     nullptr, nullptr, &FrontEndCounters::shards_given_up},
    {"vswap_shards_lost_total", "Shards that another front-end took.", nullptr, nullptr,
     &FrontEndCounters::shards_lost},
    {"vswap_log_replicas_added_total", "Replicas of table logs that were begun to be filled.",
     nullptr, nullptr, &FrontEndCounters::log_replicas_added},
    {"vswap_logs_begun_anew_total",
     "Table logs that every store had lost, written anew from memory.", nullptr, nullptr,
     &FrontEndCounters::logs_begun_anew},
    {"vswap_log_replicas_removed_total", "Replicas of table logs given up: silent, or destroyed.",
     nullptr, nullptr, &FrontEndCounters::log_replicas_removed},
};

class Families {
 public:
  void Add(const char* name, const char* help, MetricType type, Labels labels, double value) {
    if (families_.empty() || families_.back().name != name) {
      families_.push_back({name, help, type, {}});
    }
    ClientMetric metric;
    metric.label = std::move(labels);
    (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    families_.back().metric.push_back(std::move(metric));
  }
  void AddGauge(const char* name, const char* help, Labels labels, uint64_t value) {
    Add(name, help, MetricType::Gauge, std::move(labels), static_cast<double>(value));
  }
  std::vector<MetricFamily> Take() { return std::move(families_); }

 private:
  std::vector<MetricFamily> families_;
};

v1::SpaceStatus Sum(const v1::GetStatusResponse& report) {
  v1::SpaceStatus sum;
  for (const v1::SpaceStatus& space : report.spaces()) {
    AddPages(space, &sum);
  }
  return sum;
}

void AddSpaces(const v1::GetStatusResponse& report, Families& families) {
  const v1::SpaceStatus sum = Sum(report);
  families.AddGauge("vswap_spaces", "Spaces that exist.", {},
                    static_cast<uint64_t>(report.spaces_size()));
  families.AddGauge("vswap_used_slots", "Slots that are entries.", {},
                    sum.empty_pages() + sum.zero_pages() + sum.compressed_pages() +
                        sum.physical_pages() + sum.lost_pages());
  constexpr char kPages[] = "vswap_pages";
  constexpr char kHelp[] = "Slots, by what is behind them.";
  families.AddGauge(kPages, kHelp, {{"backing", "none"}}, sum.empty_pages());
  families.AddGauge(kPages, kHelp, {{"backing", "zero"}}, sum.zero_pages());
  families.AddGauge(kPages, kHelp, {{"backing", "compressed"}}, sum.compressed_pages());
  families.AddGauge(kPages, kHelp, {{"backing", "physical"}}, sum.physical_pages());
  families.AddGauge(kPages, kHelp, {{"backing", "lost"}}, sum.lost_pages());
  constexpr char kBytes[] = "vswap_stored_bytes";
  constexpr char kBytesHelp[] = "Bytes of the pages as they are stored.";
  families.AddGauge(kBytes, kBytesHelp, {{"backing", "compressed"}}, sum.compressed_bytes());
  families.AddGauge(kBytes, kBytesHelp, {{"backing", "physical"}}, sum.physical_bytes());
}

// The names that Prometheus' own client libraries use.
void AddProcess(const v1::ProcessStatus& process, Families& families) {
  families.AddGauge("process_resident_memory_bytes", "Resident memory size in bytes.", {},
                    process.resident_bytes());
  families.Add("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
               MetricType::Counter, {}, static_cast<double>(process.cpu_microseconds()) / 1e6);
}

struct NodeRow {
  const char* name;
  const char* help;
  uint64_t (v1::NodeStatus::*value)() const;
};

constexpr NodeRow kNodeGauges[] = {
    {"vswap_node_pages", "Pages that a node holds.", &v1::NodeStatus::pages},
    {"vswap_node_capacity_pages", "Most pages that a node holds; 0: no limit in pages.",
     &v1::NodeStatus::pages_capacity},
    {"vswap_node_payload_bytes", "Bytes of a node's pages as they are stored.",
     &v1::NodeStatus::payload_bytes},
    {"vswap_node_used_bytes", "Memory or disk that a node uses, all overhead included.",
     &v1::NodeStatus::used_bytes},
    {"vswap_node_occupied_bytes", "Bytes of a node's limit that new pages cannot have.",
     &v1::NodeStatus::occupied_bytes},
    {"vswap_node_capacity_bytes", "Most memory or disk that a node uses; 0: no limit in bytes.",
     &v1::NodeStatus::capacity_bytes},
    {"vswap_node_corrupt_pages", "Records that a node found damaged since its start.",
     &v1::NodeStatus::corrupt_pages},
    {"vswap_node_background_errors", "Errors of a node's storage engine since its start.",
     &v1::NodeStatus::background_errors},
};

Labels NodeLabels(const std::string& name, Tier tier) {
  return {{"node", name}, {"tier", tier == Tier::kCompressed ? "compressed" : "physical"}};
}

void AddNodes(const v1::GetStatusResponse& report, Families& families) {
  for (const NodeRow& row : kNodeGauges) {
    for (const v1::NodeStatus& node : report.nodes()) {
      families.AddGauge(row.name, row.help, NodeLabels(node.name(), static_cast<Tier>(node.tier())),
                        (node.*row.value)());
    }
  }
}

// Of each node that has one.
void AddCircuits(const Placement& placement, Families& families) {
  struct Circuit {
    Labels labels;
    const CircuitCounters& counters;
  };
  std::vector<Circuit> circuits;
  for (const Placement::Member* member : placement.Members()) {
    if (member->circuit != nullptr) {
      circuits.push_back({NodeLabels(member->name, member->tier), *member->circuit});
    }
  }
  for (const Circuit& circuit : circuits) {
    families.AddGauge("vswap_node_circuit_open",
                      "1 while this front-end asks a node nothing since it does not answer.",
                      circuit.labels, circuit.counters.open ? 1 : 0);
  }
  for (const Circuit& circuit : circuits) {
    for (const auto& [reason, refused] :
         {std::pair("circuit_open", &CircuitCounters::refused_open),
          std::pair("too_many", &CircuitCounters::refused_too_many)}) {
      Labels labels = circuit.labels;
      labels.push_back({"reason", reason});
      families.Add("vswap_node_calls_refused_total",
                   "Calls that were not sent to a node: it does not answer, or too many waited.",
                   MetricType::Counter, std::move(labels),
                   static_cast<double>((circuit.counters.*refused).load()));
    }
  }
}

}  // namespace

std::vector<prometheus::MetricFamily> FrontEndCollector::Collect() const {
  const v1::GetStatusResponse report = MakeStatusReport(front_end_);
  Families families;
  for (const CounterRow& row : kCounters) {
    const uint64_t value = (front_end_.counters().*row.counter).load(std::memory_order_relaxed);
    families.Add(row.name, row.help, MetricType::Counter,
                 row.label == nullptr ? Labels{} : Labels{{row.label, row.value}},
                 static_cast<double>(value));
  }
  families.Add("vswap_stores_overtaken_total",
               "Stored pages that a later store or free of the same slot came before.",
               MetricType::Counter, {}, static_cast<double>(front_end_.stores_overtaken()));
  AddSpaces(report, families);
  AddNodes(report, families);
  AddCircuits(front_end_.placement(), families);
  AddProcess(report.process(), families);
  families.AddGauge("vswap_releases_pending", "Batches of deletes that nodes have not answered.",
                    {}, front_end_.releases_pending());
  families.AddGauge("vswap_repairs_waiting", "Pages of which a copy is to be made anew.", {},
                    front_end_.repairs().waiting());
  families.Add("vswap_repairs_given_up_total",
               "Pages of which a copy could not be made anew: no sound one was found, or no room.",
               MetricType::Counter, {}, static_cast<double>(front_end_.repairs().given_up()));
  families.Add("vswap_releases_dropped_total",
               "Records that a silent node was not told to delete: too many were waiting for it.",
               MetricType::Counter, {}, static_cast<double>(front_end_.releases_dropped()));
  families.AddGauge("vswap_shards", "Shards that this front-end serves.", {},
                    front_end_.shards().size());
  families.AddGauge("vswap_shards_waiting",
                    "Shards that this front-end is to serve and does not: it is taking them, or "
                    "no replica of their log is within reach.",
                    {}, front_end_.shards_waiting());
  families.AddGauge("vswap_shards_degraded",
                    "Of these, those whose log has fewer full replicas than are wanted.", {},
                    front_end_.shards_degraded());
  families.AddGauge(
      "vswap_pages_degraded",
      "Pages of these shards with fewer copies than are wanted on nodes that answer and "
      "are to stay.",
      {}, front_end_.degraded_pages());
  families.AddGauge("vswap_comparisons_due",
                    "Comparisons of tables with nodes that answer, after a node's start or a "
                    "takeover, that have not ended: they may find copies missing.",
                    {}, front_end_.comparisons_due());
  families.AddGauge("vswap_reconciled", "1 once tables and nodes were compared after the start.",
                    {}, front_end_.reconciled() ? 1 : 0);
  return families.Take();
}

std::vector<prometheus::MetricFamily> CollectNode(const v1::NodeStatus& node) {
  v1::GetStatusResponse report;
  *report.add_nodes() = node;
  *report.mutable_process() = OwnProcessStatus();
  Families families;
  AddNodes(report, families);
  AddProcess(report.process(), families);
  return families.Take();
}

}  // namespace vswap
