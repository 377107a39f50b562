#pragma once

#include <optional>
#include <string>

#include "services/common/status.h"

namespace vswap {

// What a store must know about its directory before RocksDB may touch it: a small text file,
// replaced atomically.
//
//   vswap-store
//   format 1                  2: the table log has an incarnation of its own, see StoreDb
//   boot_id 8c7c4f7e-...
//   sync_log 0
//   clean 0
//
// `boot_id` names the machine's start in which the directory was last opened; empty where the
// kernel does not tell.
struct DirectoryState {
  uint64_t format = 0;
  std::string boot_id;
  bool sync_log = false;
  bool clean = false;  // synced and stopped; false while it is open
  bool operator==(const DirectoryState&) const = default;
};

inline constexpr char kStateFileName[] = "store.state";
// A release that knows the first one only would take a log that began anew for the one that is
// gone.
inline constexpr uint64_t kFormatFirst = 1;
inline constexpr uint64_t kFormatOwnLog = 2;

// Nothing where there is no such file. DATA_LOSS where it cannot be understood. Of a newer format
// only `format` is read.
StatusOr<std::optional<DirectoryState>> ReadDirectoryState(const std::string& directory);
// Durable when it has returned.
Status WriteDirectoryState(const std::string& directory, const DirectoryState& state);

}  // namespace vswap
