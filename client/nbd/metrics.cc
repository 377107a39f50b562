#include "client/nbd/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <vector>

namespace vswap::nbd {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

class Families {
 public:
  ClientMetric& Add(const char* name, const char* help, MetricType type, Labels labels) {
    if (families_.empty() || families_.back().name != name) {
      families_.push_back({name, help, type, {}});
    }
    ClientMetric& metric = families_.back().metric.emplace_back();
    metric.label = std::move(labels);
    return metric;
  }
  template <typename Value>
  void Gauge(const char* name, const char* help, Value value, Labels labels = {}) {
    Add(name, help, MetricType::Gauge, std::move(labels)).gauge.value = static_cast<double>(value);
  }
  void Counter(const char* name, const char* help, uint64_t value, Labels labels) {
    Add(name, help, MetricType::Counter, std::move(labels)).counter.value =
        static_cast<double>(value);
  }
  std::string Text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  std::vector<MetricFamily> families_;
};

void AddHost(const HostState& host, Families& families) {
  families.Gauge("vswap_client_io_flusher",
                 "1 if PR_SET_IO_FLUSHER is set: writing pages out cannot wait for itself.",
                 host.io_flusher ? 1 : 0);
  families.Gauge("vswap_client_oom_score_adj", "The process's oom_score_adj; -1000: never killed.",
                 host.oom_score_adj);
  families.Gauge("vswap_client_locked_bytes", "Locked memory of the process.", host.locked_bytes);
  families.Gauge("vswap_client_resident_bytes", "Resident memory of the process.",
                 host.resident_bytes);
}

struct SpaceRow {
  const char* name;
  const char* help;
  MetricType type;
  uint64_t ClientStats::*value;
};

constexpr SpaceRow kSpaceRows[] = {
    {"vswap_client_in_flight_bytes", "Page bytes of requests sent and not answered.",
     MetricType::Gauge, &ClientStats::in_flight_bytes},
    {"vswap_client_in_flight_pages", "Pages of calls under way.", MetricType::Gauge,
     &ClientStats::in_flight_pages},
    {"vswap_client_requests_total", "Batches sent, each time.", MetricType::Counter,
     &ClientStats::requests_sent},
    {"vswap_client_request_retries_total", "Batches sent again.", MetricType::Counter,
     &ClientStats::requests_resent},
    {"vswap_client_reconnects_total", "Streams that ended, or did not come about.",
     MetricType::Counter, &ClientStats::reconnects},
};

struct OperationRow {
  const char* name;
  const char* help;
  uint64_t ClientStats::Operation::*value;
};

constexpr OperationRow kOperationRows[] = {
    {"vswap_client_pages_total", "Pages of calls that were answered.",
     &ClientStats::Operation::pages},
    {"vswap_client_call_failures_total", "Calls that failed as a whole.",
     &ClientStats::Operation::failed_calls},
};

struct Space {
  std::string name;
  ClientStats stats;
};

void AddLatency(const Space& space, const ClientStats::Operation& operation, Families& families) {
  auto& histogram =
      families
          .Add("vswap_client_call_seconds", "Time of calls, retries and reconnects included.",
               MetricType::Histogram, {{"space", space.name}, {"operation", operation.name}})
          .histogram;
  histogram.sample_count = operation.calls;
  histogram.sample_sum = static_cast<double>(operation.microseconds) / 1e6;
  uint64_t sum = 0;
  for (size_t i = 0; i < operation.buckets.size(); ++i) {
    sum += operation.buckets[i];
    const bool bounded = i < ClientStats::kBucketsUs.size();
    histogram.bucket.push_back({sum, bounded ? static_cast<double>(ClientStats::kBucketsUs[i]) / 1e6
                                             : std::numeric_limits<double>::infinity()});
  }
}

// The series of one name stand together.
void AddSpaces(const std::vector<Space>& spaces, Families& families) {
  for (const SpaceRow& row : kSpaceRows) {
    for (const Space& space : spaces) {
      ClientMetric& metric = families.Add(row.name, row.help, row.type, {{"space", space.name}});
      const auto value = static_cast<double>(space.stats.*row.value);
      (row.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    }
  }
  for (const OperationRow& row : kOperationRows) {
    for (const Space& space : spaces) {
      for (const ClientStats::Operation& operation : space.stats.operations) {
        families.Counter(row.name, row.help, operation.*row.value,
                         {{"space", space.name}, {"operation", operation.name}});
      }
    }
  }
  for (const Space& space : spaces) {
    for (const ClientStats::Operation& operation : space.stats.operations) {
      AddLatency(space, operation, families);
    }
  }
}

}  // namespace

std::string MetricsText(const HostState& host, Exports& exports) {
  std::vector<Space> spaces;
  exports.ForEach([&](const std::string& name, const SwapClient& client) {
    spaces.push_back({name, client.stats()});
  });
  Families families;
  AddHost(host, families);
  AddSpaces(spaces, families);
  return families.Text();
}

}  // namespace vswap::nbd
