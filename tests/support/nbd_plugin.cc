#include "tests/support/nbd_plugin.h"

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "services/common/mutex.h"

namespace {

vswap::Mutex log_mutex;
std::string log_text;

void Log(const char* format, va_list arguments) {
  char line[512];
  std::vsnprintf(line, sizeof(line), format, arguments);
  vswap::MutexLock lock(log_mutex);
  log_text += std::string(line) + "\n";
}

}  // namespace

// What nbdkit gives to plugins, as far as this one asks for it.
extern "C" {
void nbdkit_error(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  Log(format, arguments);
  va_end(arguments);
}
void nbdkit_debug(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  Log(format, arguments);
  va_end(arguments);
}
void nbdkit_set_error(int) {}
int64_t nbdkit_parse_size(const char* text) { return std::atoll(text); }
int nbdkit_parse_unsigned(const char*, const char* text, unsigned* value) {
  *value = static_cast<unsigned>(std::atoi(text));
  return 0;
}
int nbdkit_parse_bool(const char* text) { return std::strcmp(text, "true") == 0; }
const char* nbdkit_export_name(void) { return ""; }
int nbdkit_add_extent(nbdkit_extents*, uint64_t, uint64_t, uint32_t) { return 0; }

// The plugin's one symbol.
nbdkit_plugin* plugin_init(void);
}

namespace vswap {

namespace {

const nbdkit_plugin& Plugin() {
  static const nbdkit_plugin& plugin = *plugin_init();
  return plugin;
}

}  // namespace

NbdPlugin::NbdPlugin(const Parameters& parameters) {
  for (const auto& [key, value] : parameters) {
    if (Plugin().config(key.c_str(), value.c_str()) != 0) {
      return;
    }
  }
  if (Plugin().config_complete() == 0 && Plugin().after_fork() == 0) {
    handle_ = Plugin().open(0);
  }
}

NbdPlugin::~NbdPlugin() {
  if (handle_ != nullptr) {
    Plugin().close(handle_);
  }
}

std::string NbdPlugin::Error() {
  MutexLock lock(log_mutex);
  return log_text;
}

bool NbdPlugin::Write(std::span<const std::byte> bytes, size_t offset) {
  return Plugin().pwrite(handle_, bytes.data(), static_cast<uint32_t>(bytes.size()), offset, 0) ==
         0;
}

bool NbdPlugin::Read(std::span<std::byte> bytes, size_t offset) {
  return Plugin().pread(handle_, bytes.data(), static_cast<uint32_t>(bytes.size()), offset, 0) == 0;
}

bool NbdPlugin::Trim(size_t bytes, size_t offset) {
  return Plugin().trim(handle_, static_cast<uint32_t>(bytes), offset, 0) == 0;
}

}  // namespace vswap
