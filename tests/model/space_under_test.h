#pragma once

#include <functional>
#include <vector>

#include "client/results.h"
#include "services/common/status.h"
#include "tests/support/page_bytes.h"

namespace vswap {

struct LoadedPage {
  PageCode code = PageCode::kUnset;
  PageBytes bytes;  // where kOk
};

// One device space as the model uses it, however the calls are made. Answers come on any thread,
// once each, also within the call.
class SpaceUnderTest {
 public:
  // A status: nothing is known of any page of the request. Codes: kOk was stored, all others were
  // not, but for kUnset, of which nothing is known.
  using StoreDone = std::function<void(StatusOr<std::vector<PageCode>>)>;
  using LoadDone = std::function<void(StatusOr<std::vector<LoadedPage>>)>;
  using FreeDone = std::function<void(Status)>;

  virtual ~SpaceUnderTest() = default;
  // 1..512 pages of different slots, all within one stripe of 32768.
  virtual void Store(std::vector<ContentAt> pages, StoreDone done) = 0;
  virtual void Load(std::vector<Offset> offsets, LoadDone done) = 0;
  virtual void Free(Extent extent, FreeDone done) = 0;
};

// The same with folios, and with entries of an allocated space.
class EntriesUnderTest : public SpaceUnderTest {
 public:
  using AllocateDone = std::function<void(StatusOr<std::vector<Extent>>)>;
  using CodesDone = std::function<void(StatusOr<std::vector<PageCode>>)>;
  using CountDone = std::function<void(StatusOr<uint64_t>)>;
  using BackingDone = std::function<void(StatusOr<SlotRun>)>;

  // A folio, of any kind of space.
  virtual void StoreWhole(std::vector<ContentAt> pages, StoreDone done) = 0;
  virtual void LoadUnmixed(Extent folio, LoadDone done) = 0;
  // Up to a stripe.
  virtual void Backing(Extent extent, BackingDone done) = 0;

  // Of an allocated space. Each is sent again, under its own identity, until its outcome is known:
  // a status says that nothing was done (kSuperseded), or is wrong.
  virtual void Allocate(uint32_t order, uint32_t count, AllocateDone done) = 0;
  virtual void Duplicate(std::vector<Offset> offsets, CodesDone done) = 0;
  virtual void FreeCounted(std::vector<Offset> offsets, CountDone done) = 0;
};

}  // namespace vswap
