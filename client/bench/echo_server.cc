#include "client/bench/echo_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <cstring>
#include <deque>
#include <functional>
#include <iostream>
#include <map>
#include <memory>

#include "services/common/page.h"

namespace vswap::bench {
namespace {

using Event = std::function<void(bool ok)>;

// One stream: reads on while it writes, as the service does. Thread-confined.
class EchoStream : public std::enable_shared_from_this<EchoStream> {
 public:
  static void Accept(grpc::AsyncGenericService& service, grpc::ServerCompletionQueue& queue) {
    auto stream = std::make_shared<EchoStream>();
    service.RequestCall(&stream->context_, &stream->stream_, &queue, &queue,
                        new Event([stream, &service, &queue](bool ok) {
                          if (ok) {
                            Accept(service, queue);
                            stream->Read();
                          }
                        }));
  }

 private:
  Event* Tag(void (EchoStream::*method)(bool)) {
    return new Event([self = shared_from_this(), method](bool ok) { (self.get()->*method)(ok); });
  }

  void Read() { stream_.Read(&incoming_, Tag(&EchoStream::OnRead)); }

  void OnRead(bool ok) {
    if (!ok) {
      stream_.Finish(grpc::Status::OK, new Event([self = shared_from_this()](bool) {}));
      return;
    }
    grpc::ByteBuffer message;
    message.Swap(&incoming_);
    Read();
    outgoing_.push_back(AnswerOf(message));
    if (outgoing_.size() == 1) {
      stream_.Write(outgoing_.front(), Tag(&EchoStream::OnWritten));
    }
  }

  void OnWritten(bool ok) {
    outgoing_.pop_front();
    if (ok && !outgoing_.empty()) {
      stream_.Write(outgoing_.front(), Tag(&EchoStream::OnWritten));
    }
  }

  const grpc::ByteBuffer& AnswerOf(const grpc::ByteBuffer& message) {
    grpc::Slice slice;
    uint32_t bytes = 0;
    if (!message.TrySingleSlice(&slice).ok()) {
      message.DumpToSingleSlice(&slice);
    }
    std::memcpy(&bytes, slice.begin(), std::min(slice.size(), sizeof(bytes)));
    bytes = std::min(bytes, static_cast<uint32_t>(kMessageBytesMax));
    const auto [answer, made] = answers_.try_emplace(bytes);
    if (made) {
      grpc::Slice content{std::string(bytes, 'e')};
      answer->second = grpc::ByteBuffer(&content, 1);
    }
    return answer->second;
  }

  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  grpc::ByteBuffer incoming_;
  std::deque<grpc::ByteBuffer> outgoing_;
  std::map<uint32_t, grpc::ByteBuffer> answers_;  // by length
};

}  // namespace

int RunEchoServer() {
  constexpr int kGrpcMessageBytesMax = 2 * static_cast<int>(kMessageBytesMax);
  grpc::AsyncGenericService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(kGrpcMessageBytesMax);
  builder.RegisterAsyncGenericService(&service);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    std::cerr << "vswap-bench: the echo server cannot listen" << std::endl;
    return 1;
  }
  EchoStream::Accept(service, *queue);
  std::cout << "ready listen=127.0.0.1:" << port << std::endl;
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) {
    const std::unique_ptr<Event> event(static_cast<Event*>(tag));
    (*event)(ok);
  }
  return 0;
}

}  // namespace vswap::bench
