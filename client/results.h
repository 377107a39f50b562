#pragma once

#include <cstdint>
#include <vector>

#include "services/common/page.h"
#include "services/common/status.h"

namespace vswap {

// What an entry has behind it; the numbers of vswap.v1.BackingKind.
enum class BackingKind : uint8_t {
  kUnset = 0,
  kNone = 1,
  kZero = 2,
  kCompressed = 3,
  kPhysical = 4,
  kLost = 5,
  kFree = 6,  // no entry; in allocated spaces
};

// Consecutive slots of one backing kind.
struct SlotRun {
  uint64_t pages = 0;
  BackingKind kind = BackingKind::kUnset;
  bool operator==(const SlotRun&) const = default;
};

// What became of the pages of a store, load or duplicate.
struct PagesResult {
  // The first failure of a whole batch; its pages have code kUnavailable (outcome unknown).
  Status status;
  // One a page, in the order of the ranges; empty if the call itself was refused.
  // Of a store: kOk, kResourceExhausted (what was there stays), kUnavailable, kCorrupt, kInvalid;
  // in allocated spaces also kNotFound (no entry) and kFailedPrecondition (more than one
  // reference). Of a load: kOk, kNotFound, kDataLoss, kUnavailable. Bytes of a page that is not kOk
  // are undefined. Of a duplicate: kOk, kNotFound, kResourceExhausted (no more references),
  // kUnavailable.
  std::vector<PageCode> codes;

  bool AllOk() const;
  // The first page with this code, or codes.size().
  size_t Find(PageCode code) const;
};

}  // namespace vswap
