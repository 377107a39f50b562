#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vswap/v1/cluster.pb.h"

namespace vswap {

using Row = std::vector<std::string>;

// Columns as wide as their widest cell; the first is left-aligned, the others right-aligned.
std::string Table(const std::vector<Row>& rows);

// "3.5 MiB": powers of 1024.
std::string Size(uint64_t bytes);
// The text, or "-" where there is no limit.
std::string OrNone(uint64_t limit, const std::string& text);

const char* TierName(v1::Tier tier);

}  // namespace vswap
