#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "services/common/executor.h"
#include "services/common/frame.h"
#include "services/frontend/front_end.h"
#include "services/frontend/request_metrics.h"
#include "vswap/v1/frontend.pb.h"

namespace vswap {

// The calls of vswap.v1.FrontEndService, message to message, without gRPC: converts, measures, and
// hands to the front-end. The unary calls and the stream are two ways into it, so both mean the
// same.
//
// Thread-safe. `done` runs exactly once, on any thread, possibly within the call. Borrows the
// front-end and the metrics.
class RequestHandler {
 public:
  template <typename Response>
  using Done = std::function<void(const Status&, const Response&)>;
  // An answer of the stream: `head`, then the pages end to end, which live during the call.
  using FrameDone =
      std::function<void(const std::string& head, const std::vector<ByteView>& pages)>;
  // Where the status is OK: all of the response but its page bytes, and these.
  using LoadResponseDone = std::function<void(const Status&, v1::LoadResponse& head,
                                              const std::vector<ByteView>& pages)>;

  RequestHandler(FrontEnd& front_end, RequestMetrics& metrics, const Clock& clock)
      : front_end_(front_end), metrics_(metrics), clock_(clock) {}

  void Open(const v1::OpenRequest& request, Done<v1::OpenResponse> done);
  void Close(const v1::CloseRequest& request, Done<v1::CloseResponse> done);
  void ListSpaces(Done<v1::ListSpacesResponse> done);
  void GetShardMap(const Done<v1::GetShardMapResponse>& done);

  // `pages`: the request's, wherever they are; they live as long as `owner`.
  void Store(const v1::StoreRequest& request, ByteView pages, std::shared_ptr<const void> owner,
             Done<v1::StoreResponse> done);
  void Load(const v1::LoadRequest& request, LoadResponseDone done);
  void Free(const v1::FreeRequest& request, Done<v1::FreeResponse> done);
  void Prefetch(const v1::PrefetchRequest& request, Done<v1::PrefetchResponse> done);
  void Extents(const v1::ExtentsRequest& request, const Done<v1::ExtentsResponse>& done);
  void Allocate(const v1::AllocateRequest& request, Done<v1::AllocateResponse> done);
  void Duplicate(const v1::DuplicateRequest& request, Done<v1::DuplicateResponse> done);

  // One message of the stream (see frame.h), which lives as long as `owner`. What cannot be
  // understood is answered with an error, under id 0 where not even that can be read.
  void Exchange(ByteView message, const std::shared_ptr<const void>& owner, FrameDone done);

 private:
  class Timer;

  FrontEnd& front_end_;
  RequestMetrics& metrics_;
  const Clock& clock_;
};

}  // namespace vswap
