// Settings from a YAML file and from a flag: refused, or the value that the text plainly says.

#include <sys/mman.h>
#include <unistd.h>

#include <cctype>
#include <optional>

#include "services/common/settings.h"
#include "tests/fuzz/fuzz_input.h"

namespace vswap {
namespace {

constexpr uint64_t kBytesMin = uint64_t{4} << 20;
constexpr uint64_t kBytesMax = uint64_t{1} << 40;
constexpr uint64_t kCountMax = 4096;

struct Values {
  uint64_t bytes = kBytesMin;
  uint64_t count = 1;
  std::string text;
  bool flag = false;
};

struct Command {
  CLI::App app;
  Settings settings{app};
  Values values;

  Command() {
    settings.Bytes("memory-max", values.bytes, kBytesMin, kBytesMax, "");
    settings.Count("shards", values.count, 1, kCountMax, "");
    settings.Text("listen", values.text, "");
    settings.Flag("keep-arena", values.flag, "");
  }
  bool Parse(const std::string& argument) {
    const char* const arguments[] = {"fuzz", argument.c_str()};
    try {
      app.parse(2, arguments);
      return true;
    } catch (const CLI::ParseError&) {
      return false;
    }
  }
  void CheckRanges() const {
    FUZZ_CHECK(values.bytes >= kBytesMin && values.bytes <= kBytesMax);
    FUZZ_CHECK(values.count >= 1 && values.count <= kCountMax);
  }
};

// Decimal digits, then one of `units`: "", "K", "KB", "KiB", ... in any case.
std::optional<uint64_t> PlainNumber(std::string_view text, std::string_view units) {
  size_t digits = 0;
  __extension__ unsigned __int128 value = 0;
  for (; digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits])); ++digits) {
    value = value * 10 + static_cast<unsigned>(text[digits] - '0');
    if (value > UINT64_MAX) {
      return std::nullopt;
    }
  }
  std::string unit;
  for (const char c : text.substr(digits)) {
    if (c != ' ') {
      unit.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    }
  }
  if (digits == 0) {
    return std::nullopt;
  }
  if (unit.empty() || (unit == "b" && !units.empty())) {
    return static_cast<uint64_t>(value);
  }
  const size_t power = units.find(unit[0]);
  const std::string rest = unit.substr(1);
  if (power == std::string_view::npos ||
      !(rest.empty() || rest == "b" || rest == "i" || rest == "ib")) {
    return std::nullopt;
  }
  value <<= 10 * (power + 1);
  return value > UINT64_MAX ? std::nullopt : std::optional(static_cast<uint64_t>(value));
}

void ReadFile(ByteView yaml) {
  const int fd = memfd_create("settings", MFD_CLOEXEC);
  FUZZ_CHECK(fd >= 0);
  FUZZ_CHECK(write(fd, yaml.data(), yaml.size()) == static_cast<ssize_t>(yaml.size()));
  Command command;
  FUZZ_CHECK(command.Parse("--config=/proc/self/fd/" + std::to_string(fd)));
  if (command.settings.ReadFile().ok()) {
    command.CheckRanges();
  }
  close(fd);
}

void ReadFlag(const std::string& name, const std::string& text) {
  Command command;
  if (!command.Parse("--" + name + "=" + text)) {
    return;
  }
  command.CheckRanges();
  if (name == "memory-max") {
    FUZZ_CHECK(PlainNumber(text, "kmgtpe") == command.values.bytes);
  } else if (name == "shards") {
    FUZZ_CHECK(PlainNumber(text, "") == command.values.count);
  }
}

}  // namespace
}  // namespace vswap

// First byte: a file, or which flag.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t data_bytes) {
  using namespace vswap;
  fuzz::Input input(data, data_bytes);
  const uint8_t kind = input.Take<uint8_t>() % 4;
  const ByteView rest = input.Rest();
  if (kind == 0) {
    ReadFile(rest);
  } else {
    // A command line has no zero bytes.
    const std::string text(fuzz::AsText(rest).substr(0, fuzz::AsText(rest).find('\0')));
    ReadFlag(kind == 1 ? "memory-max" : kind == 2 ? "shards" : "keep-arena", text);
  }
  return 0;
}
