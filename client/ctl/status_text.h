#pragma once

#include <optional>
#include <string>

#include "client/ctl/cluster_text.h"
#include "vswap/v1/admin.pb.h"

namespace vswap {

// A status as JSON, with a newline at the end. Keys are never renamed; numbers are integers but for
// "ratio". Described in README.md. `redundancy`: of the whole cluster; empty: it is not known.
std::string ToJson(const v1::GetStatusResponse& status,
                   const std::optional<Redundancy>& redundancy);

// The same as tables for people.
std::string ToTables(const v1::GetStatusResponse& status,
                     const std::optional<Redundancy>& redundancy);

// Its spaces alone.
std::string SpacesAsJson(const v1::GetStatusResponse& status);
std::string SpacesAsTable(const v1::GetStatusResponse& status);

// What a check has found, likewise.
std::string ToJson(const v1::CheckResponse& report);
std::string ToText(const v1::CheckResponse& report);

}  // namespace vswap
