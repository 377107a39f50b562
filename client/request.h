#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "services/common/executor.h"
#include "services/common/ids.h"
#include "services/common/mutex.h"
#include "services/common/page.h"
#include "services/common/status.h"
#include "vswap/v1/frontend.pb.h"

namespace vswap::client {

// The numbers of the oneof's fields in ExchangeRequest and ExchangeResponse.
enum class RequestKind : uint8_t { kStore = 2, kLoad = 3, kFree = 4, kPrefetch = 5, kExtents = 6 };

// Whether the server orders it with others on the same slots.
constexpr bool Changes(RequestKind kind) {
  return kind == RequestKind::kStore || kind == RequestKind::kFree;
}

// What came back for one request. Only the message of the request's kind is filled, and none where
// `status` is an error.
struct Answer {
  uint64_t id = 0;
  RequestKind kind = RequestKind::kStore;
  Status status;
  Epoch epoch = 0;
  v1::StoreResponse store;
  v1::LoadResponse load;
  v1::FreeResponse free;
  v1::ExtentsResponse extents;
  ByteView pages;  // of a load; borrowed for the call
};

// One batch for one shard, from its making until its answer, over any number of streams.
//
// What the maker fills is constant once it is submitted; the session's part is guarded by the
// session's mutex. The bytes of `pages` are the caller's and may be gone once `done` has run:
// whoever reads them outside of the session's mutex holds `send_mutex` and looks at `finished`
// first.
struct Request {
  RequestKind kind = RequestKind::kStore;
  Lane lane = Lane::kDemand;
  ShardId shard = 0;
  std::vector<Extent> extents;
  std::vector<PageView> pages;  // of a store: one a slot
  Duration patience{};          // from the first sending until it is given up
  TimePoint not_before{};
  std::function<void(const Answer&)> done;  // exactly once

  // Set once, before the first sending.
  Sequence sequence = 0;
  std::vector<Encoding> encodings;  // of a store: one a slot
  std::vector<uint32_t> checksums;  // of a store: one a slot
  size_t bytes = 0;                 // of page contents, there or back

  // The session's.
  TimePoint deadline{};
  TimePoint sent_at{};
  bool was_sent = false;
  Duration backoff{};

  Mutex send_mutex;
  bool finished GUARDED_BY(send_mutex) = false;
};
using RequestPtr = std::shared_ptr<Request>;

// Where calls hand their batches. Thread-safe. `done` runs on the sink's thread, or within Submit
// where the sink already is out of service.
class RequestSink {
 public:
  virtual ~RequestSink() = default;
  virtual void Submit(RequestPtr request) = 0;
};

}  // namespace vswap::client
