#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace vswap {

// Numbers as people write them in flags and files. Nothing where the text is not one, or too large.

// Decimal digits only: no sign, no 0x, and leading zeros do not make it octal.
std::optional<uint64_t> ParseCount(std::string_view text);

// A count of bytes, or with B, K, M, G, T, P or E behind it, each alone, with B or with iB, in any
// case: powers of 1024. A space may stand between.
std::optional<uint64_t> ParseBytes(std::string_view text);

}  // namespace vswap
