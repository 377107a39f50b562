#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "services/common/status.h"

namespace vswap {

// The settings of one command, each declared once: --NAME as a flag, VSWAP_NAME in the environment
// (upper case, underscores), NAME in the YAML file of --config. A flag comes before the
// environment, that before the file.
//
// Order of use: declare, parse the command line with CLI11 (which reads the environment and throws
// CLI::ParseError), ReadFile. Thread-confined; the variables outlive it.
class Settings {
 public:
  explicit Settings(CLI::App& app);

  // Bytes; accepts B, K, M, G, T, with or without iB or B, all powers of 1024.
  void Bytes(const std::string& name, uint64_t& value, uint64_t low, uint64_t high,
             const std::string& help);
  void Count(const std::string& name, uint64_t& value, uint64_t low, uint64_t high,
             const std::string& help);
  void Text(const std::string& name, std::string& value, const std::string& help);
  void Flag(const std::string& name, bool& value, const std::string& help);

  // INVALID_ARGUMENT: not YAML, an unknown key, a bad value. Nothing where no file was named.
  Status ReadFile();
  // Variables VSWAP_... of the environment that no setting reads: likely misspelled.
  std::vector<std::string> UnknownEnvironment() const;

 private:
  CLI::Option* Declare(CLI::Option* option, const std::string& name);

  CLI::App& app_;
  std::string file_;
};

}  // namespace vswap
