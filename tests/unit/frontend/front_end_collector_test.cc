#include "services/frontend/front_end_collector.h"

#include <prometheus/metric_family.h>

#include "services/cluster/circuit_breaker.h"
#include "tests/support/front_end_setup.h"

namespace vswap {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;

std::string Text(const ClientMetric& metric) {
  std::string text;
  for (const ClientMetric::Label& label : metric.label) {
    text += label.name + "=" + label.value + " ";
  }
  return text + std::to_string(static_cast<int>(metric.gauge.value + metric.counter.value));
}

std::vector<std::string> LinesOf(const std::vector<MetricFamily>& families,
                                 const std::string& name) {
  std::vector<std::string> lines;
  for (const MetricFamily& family : families) {
    for (const ClientMetric& metric : family.metric) {
      if (family.name == name) {
        lines.push_back(Text(metric));
      }
    }
  }
  return lines;
}

TEST(FrontEndCollector, TellsOfTheCircuitsOfNodesThatHaveOne) {
  FrontEndSetup setup;
  MemoryNode node({.incarnation = 13});
  CircuitCounters circuit;
  circuit.open = true;
  circuit.refused_open = 5;
  circuit.refused_too_many = 7;
  setup.front_end().placement().AddNode({.id = 3,
                                         .tier = Tier::kPhysical,
                                         .name = "store-2",
                                         .incarnation = 13,
                                         .node = &node,
                                         .circuit = &circuit});
  const auto families = FrontEndCollector(setup.front_end()).Collect();
  EXPECT_EQ(LinesOf(families, "vswap_node_circuit_open"),
            std::vector<std::string>{"node=store-2 tier=physical 1"});
  EXPECT_EQ(LinesOf(families, "vswap_node_calls_refused_total"),
            (std::vector<std::string>{"node=store-2 tier=physical reason=circuit_open 5",
                                      "node=store-2 tier=physical reason=too_many 7"}));
  EXPECT_EQ(LinesOf(families, "vswap_node_pages").size(), 3u);
  setup.Drop();  // before the node
}

// Each name once: what a scrape refuses otherwise.
TEST(FrontEndCollector, EveryFamilyComesOnce) {
  FrontEndSetup setup;
  std::vector<std::string> names;
  for (const MetricFamily& family : FrontEndCollector(setup.front_end()).Collect()) {
    names.push_back(family.name);
  }
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
}

}  // namespace
}  // namespace vswap
