#include "services/common/numbers.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string>

namespace vswap {
namespace {

// log2 of what a lower-case unit stands for.
std::optional<int> UnitShift(std::string_view unit) {
  constexpr std::string_view kPrefixes = "kmgtpe";
  if (unit.empty() || unit == "b") {
    return 0;
  }
  const size_t power = kPrefixes.find(unit[0]);
  const std::string_view rest = unit.substr(1);
  if (power == std::string_view::npos ||
      !(rest.empty() || rest == "b" || rest == "i" || rest == "ib")) {
    return std::nullopt;
  }
  return static_cast<int>(10 * (power + 1));
}

}  // namespace

std::optional<uint64_t> ParseCount(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

std::optional<uint64_t> ParseBytes(std::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::optional<uint64_t> number = ParseCount(text.substr(0, digits));
  std::string_view rest = text.substr(digits);
  if (rest.size() > 1 && rest[0] == ' ') {
    rest.remove_prefix(1);
  }
  std::string unit(rest);
  std::ranges::transform(unit, unit.begin(), [](unsigned char c) { return std::tolower(c); });
  const std::optional<int> shift = UnitShift(unit);
  if (!number || !shift || *number > UINT64_MAX >> *shift) {
    return std::nullopt;
  }
  return *number << *shift;
}

}  // namespace vswap
