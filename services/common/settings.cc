#include "services/common/settings.h"

#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>

#include "services/common/numbers.h"

namespace vswap {
namespace {

constexpr char kPrefix[] = "VSWAP_";
// Read by the tests, and what endpoints.env and cluster.env tell.
constexpr const char* kOtherVariables[] = {"VSWAP_TEST_", "VSWAP_GUEST_",
                                           "VSWAP_METRICS=", "VSWAP_FRONTENDS=", "VSWAP_PID_"};

std::string EnvironmentName(const std::string& name) {
  std::string upper = kPrefix + name;
  for (char& c : upper) {
    c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return upper;
}

// Makes plain digits of a number. CLI11's own reading takes 010 for 8, 0x1B for 1 byte and
// " -18446744073709551615" for 1.
CLI::Validator NumberIn(uint64_t low, uint64_t high,
                        std::optional<uint64_t> (*parse)(std::string_view)) {
  const std::string range = std::to_string(low) + ".." + std::to_string(high);
  return CLI::Validator(
      [low, high, parse, range](std::string& text) {
        const std::optional<uint64_t> value = parse(text);
        if (!value || *value < low || *value > high) {
          return "is " + text + ", allowed: " + range;
        }
        text = std::to_string(*value);
        return std::string();
      },
      range);
}

}  // namespace

Settings::Settings(CLI::App& app) : app_(app) {
  Declare(app_.add_option("--config", file_, "YAML file with settings, by the same names"),
          "config");
}

CLI::Option* Settings::Declare(CLI::Option* option, const std::string& name) {
  return option->envname(EnvironmentName(name))->capture_default_str();
}

void Settings::Bytes(const std::string& name, uint64_t& value, uint64_t low, uint64_t high,
                     const std::string& help) {
  Declare(app_.add_option("--" + name, value, help), name)
      ->transform(NumberIn(low, high, ParseBytes));
}

void Settings::Count(const std::string& name, uint64_t& value, uint64_t low, uint64_t high,
                     const std::string& help) {
  Declare(app_.add_option("--" + name, value, help), name)
      ->transform(NumberIn(low, high, ParseCount));
}

void Settings::Text(const std::string& name, std::string& value, const std::string& help) {
  Declare(app_.add_option("--" + name, value, help), name);
}

void Settings::Flag(const std::string& name, bool& value, const std::string& help) {
  Declare(app_.add_flag("--" + name, value, help), name);
}

Status Settings::ReadFile() {
  if (file_.empty()) {
    return Status();
  }
  try {
    const YAML::Node root = YAML::LoadFile(file_);
    if (!root.IsMap() && !root.IsNull()) {
      return MakeError(StatusCode::kInvalidArgument, file_ + ": a map of settings expected");
    }
    for (const auto& entry : root) {
      const auto key = entry.first.as<std::string>();
      CLI::Option* option = app_.get_option_no_throw("--" + key);
      if (option == nullptr || key == "config" || option->get_envname().empty()) {
        return MakeError(StatusCode::kInvalidArgument, file_ + ": unknown setting " + key);
      }
      if (!entry.second.IsScalar()) {
        return MakeError(StatusCode::kInvalidArgument, file_ + ": " + key + " must be one value");
      }
      if (option->count() == 0) {
        option->add_result(entry.second.as<std::string>());
        option->run_callback();
      }
    }
  } catch (const YAML::Exception& error) {
    return MakeError(StatusCode::kInvalidArgument, file_ + ": " + error.what());
  } catch (const CLI::ParseError& error) {
    return MakeError(StatusCode::kInvalidArgument, file_ + ": " + error.what());
  }
  return Status();
}

std::vector<std::string> Settings::UnknownEnvironment() const {
  std::vector<std::string> unknown;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text = *variable;
    const auto begins = [&text](const char* prefix) { return text.rfind(prefix, 0) == 0; };
    if (!begins(kPrefix) ||
        std::any_of(std::begin(kOtherVariables), std::end(kOtherVariables), begins)) {
      continue;
    }
    const std::string name = text.substr(0, text.find('='));
    const auto options = app_.get_options();
    if (std::none_of(options.begin(), options.end(), [&name](const CLI::Option* option) {
          return option->get_envname() == name;
        })) {
      unknown.push_back(name);
    }
  }
  return unknown;
}

}  // namespace vswap
