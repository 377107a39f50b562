#pragma once

#include <functional>
#include <vector>

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
  // not.
  using StoreDone = std::function<void(StatusOr<std::vector<PageCode>>)>;
  using LoadDone = std::function<void(StatusOr<std::vector<LoadedPage>>)>;
  using FreeDone = std::function<void(Status)>;

  virtual ~SpaceUnderTest() = default;
  // 1..512 pages of different slots, all within one stripe of 32768.
  virtual void Store(std::vector<ContentAt> pages, StoreDone done) = 0;
  virtual void Load(std::vector<Offset> offsets, LoadDone done) = 0;
  virtual void Free(Extent extent, FreeDone done) = 0;
};

}  // namespace vswap
