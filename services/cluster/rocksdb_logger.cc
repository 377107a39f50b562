#include "services/cluster/rocksdb_logger.h"

#include <spdlog/spdlog.h>

#include <cstdarg>
#include <cstdio>

namespace vswap {
namespace {

constexpr size_t kLineBytesMax = 1024;

class Logger : public rocksdb::Logger {
 public:
  explicit Logger(const std::string& name)
      : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL), name_(name) {}

  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    char line[kLineBytesMax];
    std::vsnprintf(line, sizeof(line), format, arguments);
    spdlog::warn("{}: {}", name_, line);
  }

 private:
  const std::string name_;
};

}  // namespace

std::shared_ptr<rocksdb::Logger> MakeRocksdbLogger(const std::string& name) {
  return std::make_shared<Logger>(name);
}

}  // namespace vswap
