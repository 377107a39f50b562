#pragma once

#include <memory>

#include "services/cluster_member.h"
#include "services/compressor_parts.h"
#include "services/role.h"
#include "services/store_parts.h"

namespace vswap {

// A compressor or a store as a process of a cluster. They return when the node serves and is
// registered. A drain leaves all pages where they are: the next start finds them.

struct CompressorRoleOptions {
  MemberOptions member;
  std::string data_dir = "/var/lib/vswap";
  CompressorOptions compressor;
  uint64_t threads = 0;  // 0: as many as processors
};
StatusOr<std::unique_ptr<Role>> StartCompressor(const CompressorRoleOptions& options);

// Also keeps table logs.
struct StoreRoleOptions {
  MemberOptions member;
  std::string data_dir = "/var/lib/vswap";
  StoreOptions store;
};
StatusOr<std::unique_ptr<Role>> StartStore(const StoreRoleOptions& options);

}  // namespace vswap
