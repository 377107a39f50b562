#include "services/frontend/request_handler.h"

#include "services/frontend/wire.h"

namespace vswap {
namespace {

using v1::ExchangeRequest;
using v1::ExchangeResponse;

Status CheckSize(size_t bytes) {
  return bytes > kMessageBytesMax ? InvalidField("message", std::to_string(bytes) + " bytes long",
                                                 "up to " + std::to_string(kMessageBytesMax))
                                  : Status();
}

std::string ErrorFrame(uint64_t id, const Status& status) {
  v1::Error error;
  error.set_code(static_cast<uint32_t>(status.code()));
  error.set_reason(static_cast<v1::ErrorReason>(ReasonOf(status)));
  error.set_message(std::string(MessageOf(status)));
  return FrameHead(id, ExchangeResponse::kErrorFieldNumber, error.SerializeAsString(), 0);
}

template <typename Message>
bool ParseHead(const Frame& frame, Message* message) {
  return message->ParseFromArray(frame.head.data(), static_cast<int>(frame.head.size()));
}

// The answer to a request without pages.
template <typename Response>
RequestHandler::Done<Response> AnswerFrame(uint64_t id, uint32_t field,
                                           RequestHandler::FrameDone done) {
  return [id, field, done = std::move(done)](const Status& status, const Response& response) {
    done(status.ok() ? FrameHead(id, field, response.SerializeAsString(), 0)
                     : ErrorFrame(id, status),
         {});
  };
}

Status BadHead(std::string_view what) {
  return MakeError(StatusCode::kInvalidArgument,
                   "message: not a " + std::string(what) + " of vswap.v1");
}

size_t TotalBytes(const std::vector<ByteView>& pages) {
  size_t bytes = 0;
  for (const ByteView page : pages) {
    bytes += page.size();
  }
  return bytes;
}

}  // namespace

// Observes how long one request took, when it is answered.
class RequestHandler::Timer {
 public:
  Timer(const RequestHandler& handler, Operation operation, const v1::RequestHeader& header)
      : handler_(handler),
        operation_(operation),
        lane_(static_cast<Lane>(header.lane())),
        begun_(handler.clock_.Now()) {}

  void Stop(const Status& status) const {
    handler_.metrics_.Observe(operation_, lane_, handler_.clock_.Now() - begun_);
    if (!status.ok()) {
      handler_.metrics_.CountFailure(operation_);
    }
  }

 private:
  const RequestHandler& handler_;
  Operation operation_;
  Lane lane_;
  TimePoint begun_;
};

void RequestHandler::Open(const v1::OpenRequest& request, Done<v1::OpenResponse> done) {
  front_end_.Open({request.name(), request.holder(), request.take_over(), request.create_pages(),
                   static_cast<SpaceKind>(request.kind()), request.attempt()},
                  [done = std::move(done)](const StatusOr<OpenReply>& reply) {
                    v1::OpenResponse response;
                    if (reply.ok()) {
                      response.set_space(reply->space);
                      response.set_token(reply->token);
                      response.set_space_pages(reply->pages);
                      response.set_kind(static_cast<v1::SpaceKind>(reply->kind));
                      FillShardMap(reply->shard_map, response.mutable_shard_map());
                    }
                    done(reply.status(), response);
                  });
}

void RequestHandler::Close(const v1::CloseRequest& request, Done<v1::CloseResponse> done) {
  front_end_.Close(request.space(), request.token(),
                   [done = std::move(done)](const Status& status) { done(status, {}); });
}

void RequestHandler::ListSpaces(Done<v1::ListSpacesResponse> done) {
  front_end_.ListSpaces([done = std::move(done)](const StatusOr<std::vector<SpaceInfo>>& spaces) {
    v1::ListSpacesResponse response;
    if (spaces.ok()) {
      for (const SpaceInfo& space : *spaces) {
        v1::SpaceInfo* out = response.add_spaces();
        out->set_space(space.id);
        out->set_name(space.name);
        out->set_pages(space.pages);
        out->set_holder(space.holder);
        out->set_kind(static_cast<v1::SpaceKind>(space.kind));
      }
    }
    done(spaces.status(), response);
  });
}

void RequestHandler::GetShardMap(const Done<v1::GetShardMapResponse>& done) {
  const StatusOr<ShardMap> map = front_end_.GetShardMap();
  v1::GetShardMapResponse response;
  if (map.ok()) {
    FillShardMap(*map, response.mutable_shard_map());
  }
  done(map.status(), response);
}

void RequestHandler::Store(const v1::StoreRequest& request, ByteView pages,
                           std::shared_ptr<const void> owner, Done<v1::StoreResponse> done) {
  const Timer timer(*this, Operation::kStore, request.header());
  Status status = CheckSize(request.ByteSizeLong() + (request.pages().empty() ? pages.size() : 0));
  StatusOr<StoreCall> call = status.ok() ? ToStoreCall(request, pages, std::move(owner)) : status;
  if (!call.ok()) {
    timer.Stop(call.status());
    return done(call.status(), {});
  }
  const Epoch epoch = call->header.epoch;
  front_end_.Store(*std::move(call),
                   [timer, epoch, done = std::move(done)](const MutationResult& result) {
                     v1::StoreResponse response;
                     FillStore(result, epoch, &response);
                     timer.Stop(result.status);
                     done(result.status, response);
                   });
}

void RequestHandler::Load(const v1::LoadRequest& request, LoadResponseDone done) {
  const Timer timer(*this, Operation::kLoad, request.header());
  LoadCall call = ToLoadCall(request);
  const Epoch epoch = call.header.epoch;
  front_end_.Load(std::move(call), [timer, epoch, done = std::move(done)](const LoadReply& reply) {
    v1::LoadResponse head;
    std::vector<ByteView> pages;
    if (reply.status.ok()) {
      FillLoadHead(reply, epoch, &head);
      for (const PageOut& page : reply.pages) {
        pages.push_back(page.bytes);
      }
    }
    timer.Stop(reply.status);
    done(reply.status, head, pages);
  });
}

void RequestHandler::Free(const v1::FreeRequest& request, Done<v1::FreeResponse> done) {
  const Timer timer(*this, Operation::kFree, request.header());
  front_end_.Free(ToFreeCall(request), [timer, epoch = request.header().shard_epoch(),
                                        done = std::move(done)](const MutationResult& result) {
    v1::FreeResponse response;
    FillFree(result, epoch, &response);
    timer.Stop(result.status);
    done(result.status, response);
  });
}

void RequestHandler::Prefetch(const v1::PrefetchRequest& request, Done<v1::PrefetchResponse> done) {
  const Timer timer(*this, Operation::kPrefetch, request.header());
  front_end_.Prefetch(ToLoadCall(request), [timer, epoch = request.header().shard_epoch(),
                                            done = std::move(done)](const Status& status) {
    v1::PrefetchResponse response;
    response.set_shard_epoch(epoch);
    timer.Stop(status);
    done(status, response);
  });
}

void RequestHandler::Extents(const v1::ExtentsRequest& request,
                             const Done<v1::ExtentsResponse>& done) {
  const Timer timer(*this, Operation::kExtents, request.header());
  front_end_.Extents(
      ToHeader(request.header()), {request.extent().offset(), request.extent().pages()},
      [timer, done,
       epoch = request.header().shard_epoch()](const StatusOr<std::vector<BackingRun>>& runs) {
        v1::ExtentsResponse response;
        if (runs.ok()) {
          FillExtents(*runs, epoch, &response);
        }
        timer.Stop(runs.status());
        done(runs.status(), response);
      });
}

void RequestHandler::Allocate(const v1::AllocateRequest& request, Done<v1::AllocateResponse> done) {
  const Timer timer(*this, Operation::kAllocate, request.header());
  front_end_.Allocate(ToAllocateCall(request),
                      [timer, epoch = request.header().shard_epoch(),
                       done = std::move(done)](const MutationResult& result) {
                        v1::AllocateResponse response;
                        FillAllocate(result, epoch, &response);
                        timer.Stop(result.status);
                        done(result.status, response);
                      });
}

void RequestHandler::Duplicate(const v1::DuplicateRequest& request,
                               Done<v1::DuplicateResponse> done) {
  const Timer timer(*this, Operation::kDuplicate, request.header());
  front_end_.Duplicate(ToDuplicateCall(request),
                       [timer, epoch = request.header().shard_epoch(),
                        done = std::move(done)](const MutationResult& result) {
                         v1::DuplicateResponse response;
                         FillDuplicate(result, epoch, &response);
                         timer.Stop(result.status);
                         done(result.status, response);
                       });
}

void RequestHandler::Exchange(ByteView message, const std::shared_ptr<const void>& owner,
                              FrameDone done) {
  const StatusOr<Frame> frame = SplitFrame(message);
  if (!frame.ok()) {
    return done(ErrorFrame(0, frame.status()), {});
  }
  const uint64_t id = frame->id;
  if (const Status status = CheckSize(message.size()); !status.ok()) {
    return done(ErrorFrame(id, status), {});
  }
  switch (frame->field) {
    case ExchangeRequest::kStoreFieldNumber:
      if (v1::StoreRequest request; ParseHead(*frame, &request)) {
        return Store(request, frame->pages, owner,
                     AnswerFrame<v1::StoreResponse>(id, ExchangeResponse::kStoreFieldNumber,
                                                    std::move(done)));
      }
      return done(ErrorFrame(id, BadHead("StoreRequest")), {});
    case ExchangeRequest::kLoadFieldNumber:
      if (v1::LoadRequest request; ParseHead(*frame, &request)) {
        return Load(request,
                    [id, done = std::move(done)](const Status& status, const v1::LoadResponse& head,
                                                 const std::vector<ByteView>& pages) {
                      done(status.ok() ? FrameHead(id, ExchangeResponse::kLoadFieldNumber,
                                                   head.SerializeAsString(), TotalBytes(pages))
                                       : ErrorFrame(id, status),
                           pages);
                    });
      }
      return done(ErrorFrame(id, BadHead("LoadRequest")), {});
    case ExchangeRequest::kFreeFieldNumber:
      if (v1::FreeRequest request; ParseHead(*frame, &request)) {
        return Free(request, AnswerFrame<v1::FreeResponse>(id, ExchangeResponse::kFreeFieldNumber,
                                                           std::move(done)));
      }
      return done(ErrorFrame(id, BadHead("FreeRequest")), {});
    case ExchangeRequest::kPrefetchFieldNumber:
      if (v1::PrefetchRequest request; ParseHead(*frame, &request)) {
        return Prefetch(request, AnswerFrame<v1::PrefetchResponse>(
                                     id, ExchangeResponse::kPrefetchFieldNumber, std::move(done)));
      }
      return done(ErrorFrame(id, BadHead("PrefetchRequest")), {});
    case ExchangeRequest::kExtentsFieldNumber:
      if (v1::ExtentsRequest request; ParseHead(*frame, &request)) {
        return Extents(request, AnswerFrame<v1::ExtentsResponse>(
                                    id, ExchangeResponse::kExtentsFieldNumber, std::move(done)));
      }
      return done(ErrorFrame(id, BadHead("ExtentsRequest")), {});
    case ExchangeRequest::kAllocateFieldNumber:
      if (v1::AllocateRequest request; ParseHead(*frame, &request)) {
        return Allocate(request, AnswerFrame<v1::AllocateResponse>(
                                     id, ExchangeResponse::kAllocateFieldNumber, std::move(done)));
      }
      return done(ErrorFrame(id, BadHead("AllocateRequest")), {});
    case ExchangeRequest::kDuplicateFieldNumber:
      if (v1::DuplicateRequest request; ParseHead(*frame, &request)) {
        return Duplicate(
            request, AnswerFrame<v1::DuplicateResponse>(id, ExchangeResponse::kDuplicateFieldNumber,
                                                        std::move(done)));
      }
      return done(ErrorFrame(id, BadHead("DuplicateRequest")), {});
    default:
      return done(ErrorFrame(id, InvalidField("op", std::to_string(frame->field), "2..6, 8, 9")),
                  {});
  }
}

}  // namespace vswap
