#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "services/common/executor.h"
#include "services/common/page.h"
#include "services/common/status.h"

namespace vswap {

inline constexpr size_t kNameBytesMax = 255;  // of spaces and holders

struct ClientOptions {
  // HOST:PORT,... of front-ends of the cluster: of those that answer, the client learns the others.
  std::string frontend;
  std::string space;          // name, 1..255 bytes
  std::string holder;         // stable identity of this process's role, 1..255 bytes
  bool take_over = false;     // from another holder, which is fenced
  uint64_t create_pages = 0;  // make the space with this size if there is none; 0: do not
  // What the space must be, and what is made. Unset: any kind, and a device space is made.
  SpaceKind kind = SpaceKind::kUnset;
  // How long a request, and Open, go on trying while the service is away. Above 0.
  Duration patience = std::chrono::seconds(60);

  // What may be under way, loads and the rest counted apart; over that, callers wait. Pages: of
  // calls that were let in. Batches: each of up to 512 pages, for which memory of about 16 KiB is
  // taken at the start.
  uint64_t pages_max = 16384;
  uint64_t batches_max = 128;
};

// The parts of `frontend`.
std::vector<std::string> FrontEndsOf(const ClientOptions& options);

// INVALID_ARGUMENT names the field and its range.
Status Validate(const ClientOptions& options);

}  // namespace vswap
