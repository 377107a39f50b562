#include "client/bench/cpu_list.h"

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

namespace vswap::bench {
namespace {

int CpuCount() { return static_cast<int>(sysconf(_SC_NPROCESSORS_CONF)); }

std::optional<int> ParseCpu(std::string_view text) {
  int cpu = -1;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, cpu);
  const bool good = error == std::errc() && stop == end && cpu >= 0 && cpu < CpuCount();
  return good ? std::optional(cpu) : std::nullopt;
}

// Appends "3" or "2-5"; false where it is neither.
bool AppendRange(std::string_view text, CpuList& cpus) {
  const size_t dash = text.find('-');
  const std::optional<int> first = ParseCpu(text.substr(0, dash));
  const std::optional<int> last =
      dash == std::string_view::npos ? first : ParseCpu(text.substr(dash + 1));
  if (!first || !last || *first > *last) {
    return false;
  }
  for (int cpu = *first; cpu <= *last; ++cpu) {
    cpus.push_back(cpu);
  }
  return true;
}

std::optional<CpuList> ParseList(std::string_view text) {
  CpuList cpus;
  while (true) {
    const size_t comma = text.find(',');
    if (!AppendRange(text.substr(0, comma), cpus)) {
      return std::nullopt;
    }
    if (comma == std::string_view::npos) {
      return cpus;
    }
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

StatusOr<CpuPlan> ParseCpuPlan(const std::string& text) {
  if (text.empty()) {
    return CpuPlan();
  }
  const std::string_view all(text);
  const size_t colon = all.find(':');
  std::optional<CpuList> client = ParseList(all.substr(0, colon));
  std::optional<CpuList> service =
      colon == std::string_view::npos ? std::nullopt : ParseList(all.substr(colon + 1));
  if (!client || !service) {
    return InvalidField("cpus", "'" + text + "'",
                        "CLIENT:SERVICE, each a list like 0,2-3 of processors 0.." +
                            std::to_string(CpuCount() - 1));
  }
  return CpuPlan{*std::move(client), *std::move(service)};
}

Status PinTo(const CpuList& cpus) {
  if (cpus.empty()) {
    return Status();
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) {
    CPU_SET(static_cast<size_t>(cpu), &set);
  }
  return sched_setaffinity(0, sizeof(set), &set) == 0
             ? Status()
             : MakeError(StatusCode::kFailedPrecondition,
                         std::string("cpus: cannot run there: ") + std::strerror(errno));
}

}  // namespace vswap::bench
