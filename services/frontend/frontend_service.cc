#include "services/frontend/frontend_service.h"

#include <span>

#include "proto/grpc_glue.h"
#include "services/frontend/exchange_stream.h"

namespace vswap {
namespace {

using Wire = v1::FrontEndService;

template <typename Base>
using Batches =
    Wire::WithCallbackMethod_Store<Wire::WithCallbackMethod_Load<Wire::WithCallbackMethod_Free<
        Wire::WithCallbackMethod_Prefetch<Wire::WithCallbackMethod_Extents<
            Wire::WithCallbackMethod_Allocate<Wire::WithCallbackMethod_Duplicate<Base>>>>>>>;

template <typename Base>
using Unary = Wire::WithCallbackMethod_Open<Wire::WithCallbackMethod_Close<
    Wire::WithCallbackMethod_ListSpaces<Wire::WithCallbackMethod_GetShardMap<Batches<Base>>>>>;

// Puts the answer where gRPC wants it.
template <typename Response>
RequestHandler::Done<Response> FinishWith(grpc::ServerUnaryReactor* reactor, Response* response) {
  return [reactor, response](const Status& status, const Response& result) {
    *response = result;
    reactor->Finish(ToGrpc(status));
  };
}

}  // namespace

class FrontEndService::Calls : public Unary<Wire::WithRawCallbackMethod_Exchange<Wire::Service>> {
 public:
  explicit Calls(RequestHandler& handler) : handler_(handler) {
    exchange_ = [this](const grpc::ByteBuffer& request, ExchangeStream::Answer answer) {
      auto message = std::make_shared<OwnedMessage>(request);
      handler_.Exchange(message->bytes(), message,
                        [answer = std::move(answer)](const std::string& head,
                                                     const std::vector<ByteView>& pages) {
                          answer(MakeMessage(head, pages));
                        });
    };
  }

  void WaitForStreams() { live_.WaitForNone(); }

  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;

  Reactor* Open(Context* context, const v1::OpenRequest* request,
                v1::OpenResponse* response) override {
    Reactor* reactor = context->DefaultReactor();
    handler_.Open(*request, FinishWith(reactor, response));
    return reactor;
  }
  Reactor* Close(Context* context, const v1::CloseRequest* request,
                 v1::CloseResponse* response) override {
    Reactor* reactor = context->DefaultReactor();
    handler_.Close(*request, FinishWith(reactor, response));
    return reactor;
  }
  Reactor* ListSpaces(Context* context, const v1::ListSpacesRequest*,
                      v1::ListSpacesResponse* response) override {
    Reactor* reactor = context->DefaultReactor();
    handler_.ListSpaces(FinishWith(reactor, response));
    return reactor;
  }
  Reactor* GetShardMap(Context* context, const v1::GetShardMapRequest*,
                       v1::GetShardMapResponse* response) override {
    Reactor* reactor = context->DefaultReactor();
    handler_.GetShardMap(FinishWith(reactor, response));
    return reactor;
  }
  Reactor* Store(Context* context, const v1::StoreRequest* request,
                 v1::StoreResponse* response) override {
    Reactor* reactor = context->DefaultReactor();
    // gRPC keeps the request until Finish.
    handler_.Store(*request, std::as_bytes(std::span(request->pages())), nullptr,
                   FinishWith(reactor, response));
    return reactor;
  }
  Reactor* Load(Context* context, const v1::LoadRequest* request,
                v1::LoadResponse* response) override {
    Reactor* reactor = context->DefaultReactor();
    handler_.Load(*request, [reactor, response](const Status& status, v1::LoadResponse& head,
                                                const std::vector<ByteView>& pages) {
      for (const ByteView page : pages) {
        head.mutable_pages()->append(reinterpret_cast<const char*>(page.data()), page.size());
      }
      response->Swap(&head);
      reactor->Finish(ToGrpc(status));
    });
    return reactor;
  }
  Reactor* Free(Context* context, const v1::FreeRequest* request,
                v1::FreeResponse* response) override {
    Reactor* reactor = context->DefaultReactor();
    handler_.Free(*request, FinishWith(reactor, response));
    return reactor;
  }
  Reactor* Prefetch(Context* context, const v1::PrefetchRequest* request,
                    v1::PrefetchResponse* response) override {
    Reactor* reactor = context->DefaultReactor();
    handler_.Prefetch(*request, FinishWith(reactor, response));
    return reactor;
  }
  Reactor* Extents(Context* context, const v1::ExtentsRequest* request,
                   v1::ExtentsResponse* response) override {
    Reactor* reactor = context->DefaultReactor();
    handler_.Extents(*request, FinishWith(reactor, response));
    return reactor;
  }
  Reactor* Allocate(Context* context, const v1::AllocateRequest* request,
                    v1::AllocateResponse* response) override {
    Reactor* reactor = context->DefaultReactor();
    handler_.Allocate(*request, FinishWith(reactor, response));
    return reactor;
  }
  Reactor* Duplicate(Context* context, const v1::DuplicateRequest* request,
                     v1::DuplicateResponse* response) override {
    Reactor* reactor = context->DefaultReactor();
    handler_.Duplicate(*request, FinishWith(reactor, response));
    return reactor;
  }
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Exchange(Context*) override {
    return ExchangeStream::Begin(exchange_, live_);
  }

 private:
  RequestHandler& handler_;
  LiveStreams live_;
  ExchangeStream::Handler exchange_;
};

FrontEndService::FrontEndService(RequestHandler& handler)
    : calls_(std::make_unique<Calls>(handler)) {}

FrontEndService::~FrontEndService() = default;

void FrontEndService::Register(grpc::ServerBuilder& builder) {
  builder.RegisterService(calls_.get());
}

void FrontEndService::Stop() { calls_->WaitForStreams(); }

}  // namespace vswap
