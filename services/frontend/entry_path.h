#pragma once

#include <memory>
#include <vector>

#include "services/frontend/context.h"
#include "services/frontend/shard.h"

namespace vswap {

struct FreeCall {
  RequestHeader header;
  std::vector<Extent> extents;
  SpaceKind kind = SpaceKind::kDevice;
};

struct AllocateCall {
  RequestHeader header;
  AllocateShape shape;
};

struct DuplicateCall {
  RequestHeader header;
  std::vector<Extent> extents;
};

// Everything that makes entries come and go, without touching what is behind them: allocation,
// references, and the free that drops the last one. The calls are valid (see validate.h); `done`
// runs exactly once. Thread-safe.
//
// In allocated spaces none of them can be done twice without harm, so each answer is logged in the
// write that makes the change, and given again to a retry, also by a later owner. In device spaces
// a free is idempotent and only its slots are logged.
void FreePages(const FrontEndContext& context, std::shared_ptr<Shard> shard, FreeCall call,
               MutationDone done);
void AllocatePages(const FrontEndContext& context, std::shared_ptr<Shard> shard, AllocateCall call,
                   MutationDone done);
void DuplicatePages(const FrontEndContext& context, std::shared_ptr<Shard> shard,
                    DuplicateCall call, MutationDone done);

}  // namespace vswap
