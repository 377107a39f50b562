#include "client/ctl/status_text.h"

#include <spdlog/fmt/fmt.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "client/ctl/table.h"

namespace vswap {
namespace {

constexpr double kPageBytes = 4096;

// Page bytes for each stored byte, over the pages that are stored at all; 0: none is.
double Ratio(const v1::SpaceStatus& space) {
  const auto pages = static_cast<double>(space.compressed_pages() + space.physical_pages());
  const auto bytes = static_cast<double>(space.compressed_bytes() + space.physical_bytes());
  return bytes == 0 ? 0 : pages * kPageBytes / bytes;
}

const char* KindName(v1::SpaceKind kind) {
  return kind == v1::SPACE_KIND_ALLOCATED ? "allocated" : "device";
}

nlohmann::ordered_json SpacesOf(const v1::GetStatusResponse& status) {
  auto json = nlohmann::ordered_json::array();
  for (const v1::SpaceStatus& space : status.spaces()) {
    json.push_back({{"name", space.name()},
                    {"space", space.space()},
                    {"pages", space.pages()},
                    {"holder", space.holder()},
                    {"kind", KindName(space.kind())},
                    {"empty_pages", space.empty_pages()},
                    {"zero_pages", space.zero_pages()},
                    {"compressed_pages", space.compressed_pages()},
                    {"physical_pages", space.physical_pages()},
                    {"lost_pages", space.lost_pages()},
                    {"compressed_bytes", space.compressed_bytes()},
                    {"physical_bytes", space.physical_bytes()},
                    {"ratio", Ratio(space)}});
  }
  return json;
}

}  // namespace

std::string ToJson(const v1::GetStatusResponse& status,
                   const std::optional<Redundancy>& redundancy) {
  nlohmann::ordered_json json = {{"version", status.version()},
                                 {"reconciled", status.reconciled()},
                                 {"spaces", SpacesOf(status)},
                                 {"nodes", nlohmann::ordered_json::array()}};
  for (const v1::NodeStatus& node : status.nodes()) {
    json["nodes"].push_back({{"node", node.node()},
                             {"tier", TierName(node.tier())},
                             {"name", node.name()},
                             {"incarnation", node.incarnation()},
                             {"pages", node.pages()},
                             {"pages_capacity", node.pages_capacity()},
                             {"payload_bytes", node.payload_bytes()},
                             {"used_bytes", node.used_bytes()},
                             {"occupied_bytes", node.occupied_bytes()},
                             {"capacity_bytes", node.capacity_bytes()},
                             {"corrupt_pages", node.corrupt_pages()},
                             {"background_errors", node.background_errors()},
                             {"draining", node.draining()}});
  }
  json["redundancy"] = nullptr;
  if (redundancy) {
    json["redundancy"] = {{"full", redundancy->full()},
                          {"shards", redundancy->shards},
                          {"shards_unserved", redundancy->shards_unserved},
                          {"shards_degraded", redundancy->shards_degraded},
                          {"pages_degraded", redundancy->pages_degraded},
                          {"comparisons_due", redundancy->comparisons_due},
                          {"waits_for", redundancy->waits_for}};
  }
  return json.dump(2) + "\n";
}

std::string SpacesAsJson(const v1::GetStatusResponse& status) {
  return SpacesOf(status).dump(2) + "\n";
}

std::string SpacesAsTable(const v1::GetStatusResponse& status) {
  std::vector<Row> spaces = {{"SPACE", "KIND", "SIZE", "HOLDER", "EMPTY", "ZERO", "COMPRESSED",
                              "PHYSICAL", "LOST", "STORED", "RATIO"}};
  for (const v1::SpaceStatus& space : status.spaces()) {
    spaces.push_back({space.name(), KindName(space.kind()), Size(space.pages() * 4096),
                      space.holder().empty() ? "-" : space.holder(),
                      std::to_string(space.empty_pages()), std::to_string(space.zero_pages()),
                      std::to_string(space.compressed_pages()),
                      std::to_string(space.physical_pages()), std::to_string(space.lost_pages()),
                      Size(space.compressed_bytes() + space.physical_bytes()),
                      fmt::format("{:.2f}", Ratio(space))});
  }
  return Table(spaces);
}

std::string ToTables(const v1::GetStatusResponse& status,
                     const std::optional<Redundancy>& redundancy) {
  std::vector<Row> nodes = {{"NODE", "TIER", "PAGES", "OF PAGES", "PAYLOAD", "USED", "OF"}};
  for (const v1::NodeStatus& node : status.nodes()) {
    nodes.push_back({node.name() + (node.draining() ? " (draining)" : ""), TierName(node.tier()),
                     std::to_string(node.pages()),
                     OrNone(node.pages_capacity(), std::to_string(node.pages_capacity())),
                     Size(node.payload_bytes()), Size(node.used_bytes()),
                     OrNone(node.capacity_bytes(), Size(node.capacity_bytes()))});
  }
  return fmt::format("vswap {}{}\n\n{}\n{}\n{}", status.version(),
                     status.reconciled() ? "" : ", comparing tables and nodes",
                     SpacesAsTable(status), Table(nodes),
                     redundancy ? RedundancyAsText(*redundancy)
                                : "redundancy: not known, as the coordinator does not answer\n");
}

std::string ToJson(const v1::CheckResponse& report) {
  const nlohmann::ordered_json json = {
      {"slots", report.slots()},
      {"log_slots", report.log_slots()},
      {"records", report.records()},
      {"problems_total", report.problems_total()},
      {"problems", std::vector<std::string>(report.problems().begin(), report.problems().end())},
      {"skipped", std::vector<std::string>(report.skipped().begin(), report.skipped().end())}};
  return json.dump(2) + "\n";
}

std::string ToText(const v1::CheckResponse& report) {
  std::string text = fmt::format("{} entries, {} log records, {} records on nodes\n",
                                 report.slots(), report.log_slots(), report.records());
  for (const std::string& problem : report.problems()) {
    text += "problem: " + problem + "\n";
  }
  for (const std::string& skipped : report.skipped()) {
    text += "not checked: " + skipped + "\n";
  }
  return text + fmt::format("{} problems\n", report.problems_total());
}

}  // namespace vswap
