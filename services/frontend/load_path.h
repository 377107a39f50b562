#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "services/frontend/context.h"
#include "services/frontend/shard.h"

namespace vswap {

struct LoadCall {
  RequestHeader header;
  std::vector<Extent> extents;
  bool unmixed = false;  // only if all slots have the same backing
  SpaceKind kind = SpaceKind::kDevice;
};

// Whether a large folio can be brought in as one piece: one kind, and of physical one set.
bool SameBacking(const Entry& a, const Entry& b);

// One page for the client: as it was stored, or zero.
struct PageOut {
  PageCode code = PageCode::kUnset;  // kOk, kNotFound, kDataLoss, kUnavailable
  Encoding encoding = Encoding::kUnset;
  uint32_t checksum = 0;  // the client's; 0 for zero pages
  Stamp stamp;            // 0 for zero pages
  ByteView bytes;         // lives as long as LoadReply::owners
};

struct LoadReply {
  Status status;
  std::vector<PageOut> pages;  // the slots of the extents, in order
  std::vector<std::shared_ptr<const GetReply>> owners;
};
using LoadDone = std::function<void(LoadReply)>;

// Everything that decides what a load returns. The call is valid (see validate.h); `done` runs
// exactly once. Loads change nothing, except that a page found to be gone is marked lost and one
// found again is revived. Thread-safe.
void LoadPages(const FrontEndContext& context, std::shared_ptr<Shard> shard, LoadCall call,
               LoadDone done);

// Loads pages for nobody: those that are gone are marked lost, those that are back are revived. The
// header's token, epoch and sequence are not looked at.
void VerifyPages(const FrontEndContext& context, std::shared_ptr<Shard> shard, LoadCall call,
                 std::function<void()> done);

// Has the stores read the physical pages of the extents into their caches. `done` may run before
// that.
void PrefetchPages(const FrontEndContext& context, const std::shared_ptr<Shard>& shard,
                   const LoadCall& call, const std::function<void(Status)>& done);

}  // namespace vswap
