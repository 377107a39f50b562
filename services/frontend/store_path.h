#pragma once

#include <memory>
#include <vector>

#include "services/frontend/context.h"
#include "services/frontend/shard.h"

namespace vswap {

// One page as the client sent it.
struct PageIn {
  Offset offset = 0;
  Encoding encoding = Encoding::kUnset;
  uint32_t checksum = 0;  // PageChecksum, by the client
  ByteView bytes;         // lives as long as StoreCall::owner
};

struct StoreCall {
  RequestHeader header;
  std::vector<Extent> extents;
  std::vector<PageIn> pages;          // the slots of the extents, in order
  std::shared_ptr<const void> owner;  // of the pages' bytes
  bool whole = false;                 // all pages or none
  SpaceKind kind = SpaceKind::kDevice;
};

// Everything that decides what becomes of a stored page. The call is valid (see validate.h); `done`
// runs exactly once for every admitted or refused call. Thread-safe.
void StorePages(const FrontEndContext& context, std::shared_ptr<Shard> shard, StoreCall call,
                MutationDone done);

}  // namespace vswap
