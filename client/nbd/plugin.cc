#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <string>

#include "client/nbd/exports.h"
#include "client/nbd/host.h"
#include "client/nbd/metrics.h"
#include "services/common/http_server.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

// Spaces as NBD exports; see client/README.md. Every request is one call of libvswap, answered when
// the service has acknowledged it: so flush and FUA have nothing to do, and connections see each
// other's writes.
namespace vswap::nbd {
namespace {

constexpr int64_t kSizeBytesMax = int64_t{1} << 53;  // 2^41 pages
constexpr uint32_t kRequestBytesMax = 32 * 1024 * 1024;
constexpr size_t kRequestPagesMax = kRequestBytesMax / kPageBytes;
constexpr int64_t kInFlightBytesMax = int64_t{1} << 40;
constexpr unsigned kPatienceSecondsMax = 24 * 3600;

// What the command line says. Constant once nbdkit serves.
struct Parameters {
  std::string frontend;
  std::string space = "default";
  std::string holder;  // empty: host name and export
  int64_t size_bytes = int64_t{1} << 30;
  unsigned patience_seconds = 60;
  bool take_over = false;
  int64_t in_flight_bytes = int64_t{64} << 20;
  std::string metrics;  // HOST:PORT; empty: none
};
Parameters parameters;

// Constant after the start. Never destroyed, like the exports that it shows.
HttpServer* metrics_server = nullptr;

// Never destroyed: connections may still be closed while the process exits.
Exports& AllExports() {
  static auto* const exports = new Exports;
  return *exports;
}

// One connection.
struct Handle {
  std::string space;
  SwapClient* client = nullptr;
};

SwapClient& ClientOf(void* handle) { return *static_cast<Handle*>(handle)->client; }

int Fail(int error, const std::string& message) {
  nbdkit_error("%s", message.c_str());
  nbdkit_set_error(error);
  return -1;
}

int FailStatus(const char* what, uint64_t offset, const Status& status) {
  return Fail(EIO, std::string(what) + " at offset " + std::to_string(offset) + ": " +
                       std::string(MessageOf(status)));
}

int SetSize(const char* value) {
  const int64_t bytes = nbdkit_parse_size(value);
  if (bytes < 0) {
    return -1;
  }
  if (bytes == 0 || bytes % static_cast<int64_t>(kPageBytes) != 0 || bytes > kSizeBytesMax) {
    nbdkit_error("size is %s, allowed: a multiple of 4096 bytes, 4096..8P", value);
    return -1;
  }
  parameters.size_bytes = bytes;
  return 0;
}

int SetInFlight(const char* value) {
  const int64_t bytes = nbdkit_parse_size(value);
  if (bytes < 0) {
    return -1;
  }
  if (bytes < int64_t{kRequestBytesMax} || bytes > kInFlightBytesMax) {
    nbdkit_error("in-flight is %s, allowed: 32M..1T", value);
    return -1;
  }
  parameters.in_flight_bytes = bytes;
  return 0;
}

int SetPatience(const char* value) {
  if (nbdkit_parse_unsigned("patience", value, &parameters.patience_seconds) == -1) {
    return -1;
  }
  if (parameters.patience_seconds < 1 || parameters.patience_seconds > kPatienceSecondsMax) {
    nbdkit_error("patience is %s, allowed: 1..%u seconds", value, kPatienceSecondsMax);
    return -1;
  }
  return 0;
}

int Config(const char* key, const char* value) {
  const std::string_view name(key);
  if (name == "frontend") {
    parameters.frontend = value;
  } else if (name == "space") {
    parameters.space = value;
  } else if (name == "holder") {
    parameters.holder = value;
  } else if (name == "size") {
    return SetSize(value);
  } else if (name == "patience") {
    return SetPatience(value);
  } else if (name == "in-flight") {
    return SetInFlight(value);
  } else if (name == "metrics") {
    parameters.metrics = value;
  } else if (name == "take-over") {
    const int take_over = nbdkit_parse_bool(value);
    parameters.take_over = take_over == 1;
    return take_over == -1 ? -1 : 0;
  } else {
    nbdkit_error(
        "unknown parameter %s, allowed: frontend, size, holder, in-flight, metrics, patience, "
        "space, take-over",
        key);
    return -1;
  }
  return 0;
}

std::string DefaultHolder(const std::string& space) {
  char host[HOST_NAME_MAX + 1] = "";
  gethostname(host, sizeof(host) - 1);
  // A long export name is cut: a space's holder need not be another than that of another space.
  return (std::string(host) + "/" + space).substr(0, kNameBytesMax);
}

ClientOptions OptionsFor(const std::string& space) {
  ClientOptions options;
  options.frontend = parameters.frontend;
  options.space = space;
  options.holder = parameters.holder.empty() ? DefaultHolder(space) : parameters.holder;
  options.take_over = parameters.take_over;
  options.create_pages = static_cast<uint64_t>(parameters.size_bytes) / kPageBytes;
  options.kind = SpaceKind::kDevice;
  options.patience = std::chrono::seconds(parameters.patience_seconds);
  options.pages_max = static_cast<uint64_t>(parameters.in_flight_bytes) / kPageBytes;
  return options;
}

int ConfigComplete() {
  if (parameters.frontend.empty()) {
    nbdkit_error("parameter frontend=HOST:PORT is missing");
    return -1;
  }
  if (const Status status = Validate(OptionsFor(parameters.space)); !status.ok()) {
    nbdkit_error("%s", std::string(MessageOf(status)).c_str());
    return -1;
  }
  return 0;
}

HttpResponse Metrics() {
  return {200, "text/plain; version=0.0.4; charset=utf-8",
          MetricsText(ReadHostState(), AllExports())};
}

int StartMetrics() {
  StatusOr<std::unique_ptr<HttpServer>> server =
      HttpServer::Start(parameters.metrics, {{"/metrics", Metrics}});
  if (!server.ok()) {
    nbdkit_error("metrics: %s", std::string(MessageOf(server.status())).c_str());
    return -1;
  }
  metrics_server = server->release();
  nbdkit_debug("metrics at %s", metrics_server->address().c_str());
  return 0;
}

// In the thread that all others come from, which so inherit what is set here.
int AfterFork() {
  for (const std::string& refused : PrepareForSwap()) {
    nbdkit_error("this host does not allow %s; going on without", refused.c_str());
  }
  return parameters.metrics.empty() ? 0 : StartMetrics();
}

const char* DefaultExport(int, int) { return parameters.space.c_str(); }

void* Open(int) {
  const char* name = nbdkit_export_name();
  if (name == nullptr) {
    return nullptr;
  }
  auto handle = std::make_unique<Handle>();
  handle->space = *name == '\0' ? parameters.space : name;
  const StatusOr<SwapClient*> client = AllExports().Acquire(OptionsFor(handle->space));
  if (!client.ok()) {
    Fail(EIO, "export " + handle->space + ": " + std::string(MessageOf(client.status())));
    return nullptr;
  }
  handle->client = *client;
  return handle.release();
}

void Close(void* handle) {
  const std::unique_ptr<Handle> mine(static_cast<Handle*>(handle));
  const Status status = AllExports().Release(mine->space);
  // Who was fenced is not attached any more.
  if (!status.ok() && ReasonOf(status) != ErrorReason::kFenced) {
    nbdkit_error("export %s stays attached: %s", mine->space.c_str(),
                 std::string(MessageOf(status)).c_str());
  }
}

int64_t GetSize(void* handle) {
  return static_cast<int64_t>(ClientOf(handle).space_pages() * kPageBytes);
}

int BlockSize(void*, uint32_t* minimum, uint32_t* preferred, uint32_t* maximum) {
  *minimum = kPageBytes;
  *preferred = kPageBytes;
  *maximum = kRequestBytesMax;
  return 0;
}

int Yes(void*) { return 1; }
int No(void*) { return 0; }
int NativeFua(void*) { return NBDKIT_FUA_NATIVE; }
int NativeCache(void*) { return NBDKIT_CACHE_NATIVE; }

bool Aligned(uint32_t count, uint64_t offset) {
  if (count % kPageBytes == 0 && offset % kPageBytes == 0) {
    return true;
  }
  Fail(EINVAL, "a request of " + std::to_string(count) + " bytes at offset " +
                   std::to_string(offset) + " is not aligned to pages of 4096 bytes");
  return false;
}

using Codes = std::span<const PageCode>;

bool AllOk(const Status& status, Codes codes) {
  return status.ok() && std::ranges::all_of(codes, [](PageCode c) { return c == PageCode::kOk; });
}

// The first page that is not kOk decides what is said, `no room` if there is one what is answered.
int FailPages(const char* what, uint64_t offset, const Status& status, Codes codes) {
  if (!status.ok()) {
    return FailStatus(what, offset, status);
  }
  auto page = std::ranges::find(codes, PageCode::kResourceExhausted);
  const bool no_room = page != codes.end();
  if (!no_room) {
    page = std::ranges::find_if(codes, [](PageCode c) { return c != PageCode::kOk; });
  }
  const auto index = static_cast<uint64_t>(page - codes.begin());
  return Fail(no_room ? ENOSPC : EIO, std::string(what) + " at offset " + std::to_string(offset) +
                                          ": page " + std::to_string(offset / kPageBytes + index) +
                                          ": " + Name(*page));
}

// A store or a load; the codes lie on this thread's stack.
template <typename Call>
int RunPages(const char* what, uint32_t count, uint64_t offset, const Call& call) {
  if (!Aligned(count, offset)) {
    return -1;
  }
  if (count > kRequestBytesMax) {
    return Fail(EINVAL, std::string(what) + " of " + std::to_string(count) +
                            " bytes, allowed: up to 32 MiB");
  }
  std::array<PageCode, kRequestPagesMax> room;
  const std::span<PageCode> codes(room.data(), count / kPageBytes);
  const Status status = call(offset / kPageBytes, codes);
  return AllOk(status, codes) ? 0 : FailPages(what, offset, status, codes);
}

int Pread(void* handle, void* buffer, uint32_t count, uint64_t offset, uint32_t) {
  return RunPages("read", count, offset, [&](Offset page, std::span<PageCode> codes) {
    return ClientOf(handle).Load(page, {static_cast<std::byte*>(buffer), count}, codes);
  });
}

int Pwrite(void* handle, const void* buffer, uint32_t count, uint64_t offset, uint32_t) {
  return RunPages("write", count, offset, [&](Offset page, std::span<PageCode> codes) {
    return ClientOf(handle).Store(page, {static_cast<const std::byte*>(buffer), count}, codes);
  });
}

int Flush(void*, uint32_t) { return 0; }

int Trim(void* handle, uint32_t count, uint64_t offset, uint32_t) {
  if (!Aligned(count, offset)) {
    return -1;
  }
  const Status status = ClientOf(handle).Free(offset / kPageBytes, count / kPageBytes);
  return status.ok() ? 0 : FailStatus("trim", offset, status);
}

int AddRun(nbdkit_extents* extents, uint64_t offset, const SlotRun& run) {
  const bool hole = run.kind == BackingKind::kNone || run.kind == BackingKind::kZero;
  return nbdkit_add_extent(extents, offset, run.pages * kPageBytes,
                           hole ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0);
}

int Extents(void* handle, uint32_t count, uint64_t offset, uint32_t, nbdkit_extents* extents) {
  if (!Aligned(count, offset)) {
    return -1;
  }
  const StatusOr<SwapClient::Runs> runs =
      ClientOf(handle).Extents(offset / kPageBytes, count / kPageBytes);
  if (!runs.ok()) {
    return FailStatus("block status", offset, runs.status());
  }
  // Also if one extent was asked for: nbdkit leaves the rest out.
  for (const SlotRun& run : *runs) {
    if (AddRun(extents, offset, run) == -1) {
      return -1;
    }
    offset += run.pages * kPageBytes;
  }
  return 0;
}

int Cache(void* handle, uint32_t count, uint64_t offset, uint32_t) {
  if (!Aligned(count, offset)) {
    return -1;
  }
  const Status status = ClientOf(handle).Prefetch(offset / kPageBytes, count / kPageBytes);
  return status.ok() ? 0 : FailStatus("cache", offset, status);
}

void DumpPlugin() { printf("vswap_version=%s\n", VSWAP_VERSION); }

constexpr char kHelp[] =
    "frontend=HOST:PORT,...(required) Front-ends of vswap; one that answers is enough.\n"
    "size=SIZE             Size of a space that is made (default 1G).\n"
    "in-flight=SIZE        Most page bytes under way, reads and the rest apart (default 64M).\n"
    "metrics=HOST:PORT     Serve /metrics for Prometheus there (default: do not).\n"
    "holder=NAME           Identity that may reattach (default host name/export).\n"
    "patience=SECONDS      How long to wait for the service (default 60).\n"
    "space=NAME            The space of the empty export name (default \"default\").\n"
    "take-over=BOOL        Take spaces over from other holders (default false).";

nbdkit_plugin MakePlugin() {
  nbdkit_plugin plugin = {};
  plugin.name = "vswap";
  plugin.longname = "nbdkit vswap plugin";
  plugin.version = VSWAP_VERSION;
  plugin.description = "Spaces of vswap, swap space as a network service; export name = space";
  plugin.config = Config;
  plugin.config_complete = ConfigComplete;
  plugin.config_help = kHelp;
  plugin.magic_config_key = "frontend";
  plugin.dump_plugin = DumpPlugin;
  plugin.after_fork = AfterFork;
  plugin.default_export = DefaultExport;
  plugin.open = Open;
  plugin.close = Close;
  plugin.get_size = GetSize;
  plugin.block_size = BlockSize;
  plugin.can_write = Yes;
  plugin.can_flush = Yes;
  plugin.can_trim = Yes;
  plugin.can_zero = Yes;
  plugin.can_fast_zero = Yes;
  plugin.can_multi_conn = Yes;
  plugin.can_extents = Yes;
  plugin.can_fua = NativeFua;
  plugin.can_cache = NativeCache;
  plugin.is_rotational = No;
  plugin.pread = Pread;
  plugin.pwrite = Pwrite;
  plugin.flush = Flush;
  plugin.trim = Trim;
  plugin.zero = Trim;  // a freed slot reads as zeros
  plugin.extents = Extents;
  plugin.cache = Cache;
  return plugin;
}

nbdkit_plugin vswap_plugin = MakePlugin();

}  // namespace
}  // namespace vswap::nbd

NBDKIT_REGISTER_PLUGIN(vswap::nbd::vswap_plugin)
