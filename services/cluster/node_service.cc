#include "services/cluster/node_service.h"

#include "proto/grpc_glue.h"
#include "services/cluster/node_wire.h"

namespace vswap {
namespace {

constexpr uint32_t kInventoryMax = 4096;
constexpr uint32_t kReadMax = 65536;

Status CheckLimit(uint32_t limit, uint32_t most) {
  return limit >= 1 && limit <= most
             ? Status()
             : InvalidField("limit", std::to_string(limit), "1.." + std::to_string(most));
}

template <typename Message>
Status CheckSize(const Message& request) {
  const size_t bytes = request.ByteSizeLong();
  return bytes <= kMessageBytesMax ? Status()
                                   : InvalidField("message", std::to_string(bytes) + " bytes long",
                                                  "up to " + std::to_string(kMessageBytesMax));
}

}  // namespace

NodeService::Reactor* NodeService::Put(Context* context, const v1::PutRequest* request,
                                       v1::PutResponse* response) {
  Reactor* reactor = context->DefaultReactor();
  const Status size = CheckSize(*request);
  StatusOr<std::vector<PutPage>> pages = size.ok() ? ToPutPages(*request) : size;
  if (!pages.ok()) {
    reactor->Finish(ToGrpc(pages.status()));
    return reactor;
  }
  // gRPC keeps the request, which the pages borrow from, until Finish.
  node_.Put(*std::move(pages), static_cast<Lane>(request->lane()),
            [reactor, response](const StatusOr<PutReply>& reply) {
              if (reply.ok()) {
                *response = ToResponse(*reply);
              }
              reactor->Finish(ToGrpc(reply.status()));
            });
  return reactor;
}

NodeService::Reactor* NodeService::Get(Context* context, const v1::GetRequest* request,
                                       v1::GetResponse* response) {
  Reactor* reactor = context->DefaultReactor();
  const StatusOr<std::vector<PageName>> names = ToNames(request->names());
  if (!names.ok()) {
    reactor->Finish(ToGrpc(names.status()));
    return reactor;
  }
  node_.Get(*names, static_cast<Lane>(request->lane()),
            [reactor, response, names = *names](const StatusOr<GetReply>& reply) {
              if (reply.ok()) {
                *response = ToResponse(names, *reply);
              }
              reactor->Finish(ToGrpc(reply.status()));
            });
  return reactor;
}

NodeService::Reactor* NodeService::Delete(Context* context, const v1::DeleteRequest* request,
                                          v1::DeleteResponse* response) {
  Reactor* reactor = context->DefaultReactor();
  StatusOr<std::vector<PageName>> names = ToNames(request->names());
  if (!names.ok()) {
    reactor->Finish(ToGrpc(names.status()));
    return reactor;
  }
  node_.Delete(*std::move(names), [reactor, response](const StatusOr<Incarnation>& incarnation) {
    if (incarnation.ok()) {
      response->set_incarnation(*incarnation);
    }
    reactor->Finish(ToGrpc(incarnation.status()));
  });
  return reactor;
}

NodeService::Reactor* NodeService::Inventory(Context* context, const v1::InventoryRequest* request,
                                             v1::InventoryResponse* response) {
  Reactor* reactor = context->DefaultReactor();
  if (const Status status = CheckLimit(request->limit(), kInventoryMax); !status.ok()) {
    reactor->Finish(ToGrpc(status));
    return reactor;
  }
  node_.Inventory(request->cursor(), request->limit(),
                  [reactor, response](const StatusOr<InventoryReply>& reply) {
                    if (reply.ok()) {
                      *response = ToResponse(*reply);
                    }
                    reactor->Finish(ToGrpc(reply.status()));
                  });
  return reactor;
}

NodeService::Reactor* NodeService::Verify(Context* context, const v1::VerifyRequest* request,
                                          v1::VerifyResponse* response) {
  Reactor* reactor = context->DefaultReactor();
  StatusOr<std::vector<PageName>> names = ToNames(request->names());
  if (!names.ok()) {
    reactor->Finish(ToGrpc(names.status()));
    return reactor;
  }
  node_.Verify(*std::move(names), [reactor, response](const StatusOr<VerifyReply>& reply) {
    if (reply.ok()) {
      *response = ToResponse(*reply);
    }
    reactor->Finish(ToGrpc(reply.status()));
  });
  return reactor;
}

NodeService::Reactor* NodeService::Statistics(Context* context, const v1::StatisticsRequest*,
                                              v1::StatisticsResponse* response) {
  Reactor* reactor = context->DefaultReactor();
  if (!registered_) {
    reactor->Finish(ToGrpc(MakeError(StatusCode::kUnavailable, "the node is not registered yet")));
    return reactor;
  }
  node_.Statistics([reactor, response](const StatusOr<NodeStatistics>& statistics) {
    if (statistics.ok()) {
      response->set_incarnation(statistics->incarnation);
      response->set_pages(statistics->pages);
      response->set_pages_capacity(statistics->pages_capacity);
      response->set_payload_bytes(statistics->payload_bytes);
      response->set_used_bytes(statistics->used_bytes);
      response->set_capacity_bytes(statistics->capacity_bytes);
      response->set_occupied_bytes(statistics->occupied_bytes);
      response->set_corrupt_pages(statistics->corrupt_pages);
      response->set_background_errors(statistics->background_errors);
    }
    reactor->Finish(ToGrpc(statistics.status()));
  });
  return reactor;
}

TableLogService::Reactor* TableLogService::Write(Context* context, const v1::WriteRequest* request,
                                                 v1::WriteResponse*) {
  Reactor* reactor = context->DefaultReactor();
  if (const Status status = CheckSize(*request); !status.ok()) {
    reactor->Finish(ToGrpc(status));
    return reactor;
  }
  log_.Write(ToLogWrite(*request), [reactor](const StatusOr<bool>& written) {
    reactor->Finish(ToGrpc(written.status()));
  });
  return reactor;
}

TableLogService::Reactor* TableLogService::Seal(Context* context, const v1::SealRequest* request,
                                                v1::SealResponse* response) {
  Reactor* reactor = context->DefaultReactor();
  log_.Seal(request->shard(), request->epoch(), [reactor, response](const StatusOr<LogEnd>& end) {
    if (end.ok()) {
      *response = ToResponse(*end);
    }
    reactor->Finish(ToGrpc(end.status()));
  });
  return reactor;
}

TableLogService::Reactor* TableLogService::Read(Context* context, const v1::ReadRequest* request,
                                                v1::ReadResponse* response) {
  Reactor* reactor = context->DefaultReactor();
  if (const Status status = CheckLimit(request->limit(), kReadMax); !status.ok()) {
    reactor->Finish(ToGrpc(status));
    return reactor;
  }
  log_.Read(request->shard(), request->cursor(), request->limit(),
            [reactor, response](const StatusOr<LogReadReply>& reply) {
              if (reply.ok()) {
                *response = ToResponse(*reply);
              }
              reactor->Finish(ToGrpc(reply.status()));
            });
  return reactor;
}

}  // namespace vswap
