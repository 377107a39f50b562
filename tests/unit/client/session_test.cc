#include "client/session.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "client/swap_client.h"
#include "services/common/mutex.h"

// What a client makes of shard maps that are old, or that name nobody: front-ends that say what the
// test wants.
namespace vswap {
namespace {

using namespace std::chrono_literals;

// Frees anything; owns what the map says.
class SaidFrontEnd : public v1::FrontEndService::Service {
 public:
  SaidFrontEnd() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~SaidFrontEnd() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  void Say(const v1::ShardMap& map) {
    MutexLock lock(mutex_);
    map_ = map;
  }
  int streams() const { return streams_; }
  // Ends the streams that are there.
  void EndStreams() { ++ended_; }

 private:
  grpc::Status Open(grpc::ServerContext*, const v1::OpenRequest*,
                    v1::OpenResponse* response) override {
    response->set_space(1);
    response->set_token(1);
    response->set_space_pages(1 << 20);
    response->set_kind(v1::SPACE_KIND_DEVICE);
    MutexLock lock(mutex_);
    *response->mutable_shard_map() = map_;
    return grpc::Status::OK;
  }
  grpc::Status GetShardMap(grpc::ServerContext*, const v1::GetShardMapRequest*,
                           v1::GetShardMapResponse* response) override {
    MutexLock lock(mutex_);
    *response->mutable_shard_map() = map_;
    return grpc::Status::OK;
  }
  grpc::Status Exchange(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::ExchangeResponse, v1::ExchangeRequest>* stream) override {
    ++streams_;
    std::atomic<bool> over{false};
    std::thread ender([&, before = ended_.load()] {
      while (!over && ended_ == before) {
        std::this_thread::sleep_for(5ms);
      }
      context->TryCancel();
    });
    v1::ExchangeRequest request;
    while (stream->Read(&request)) {
      v1::ExchangeResponse response;
      response.set_id(request.id());
      response.mutable_free()->set_shard_epoch(request.free().header().shard_epoch());
      stream->Write(response);
    }
    over = true;
    ender.join();
    --streams_;
    return grpc::Status::OK;
  }

  int port_ = 0;
  Mutex mutex_;
  v1::ShardMap map_ GUARDED_BY(mutex_);
  std::atomic<int> streams_{0};
  std::atomic<int> ended_{0};
  std::unique_ptr<grpc::Server> server_;
};

// Of one shard.
v1::ShardMap Map(Epoch epoch, const std::vector<std::string>& front_ends, uint32_t owner) {
  v1::ShardMap map;
  map.set_shard_count(1);
  map.add_epochs(epoch);
  for (const std::string& front_end : front_ends) {
    map.add_front_ends(front_end);
  }
  map.add_owners(owner);
  return map;
}

std::unique_ptr<SwapClient> Open(const std::string& front_ends) {
  auto client =
      SwapClient::Open({.frontend = front_ends, .space = "s", .holder = "h", .patience = 20s});
  EXPECT_TRUE(client.ok()) << client.status();
  return client.ok() ? *std::move(client) : nullptr;
}

void WaitUntil(const std::function<bool()>& condition) {
  for (int i = 0; i < 2000 && !condition(); ++i) {
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_TRUE(condition());
}

TEST(Session, ASingleFrontEndIsAskedAgainForAShardThatHadNoOwner) {
  SaidFrontEnd a;
  a.Say(Map(1, {a.address()}, 0));
  const auto client = Open(a.address());
  ASSERT_NE(client, nullptr);
  auto freed = std::async(std::launch::async, [&] { return client->Free(0, 1); });
  EXPECT_EQ(freed.wait_for(300ms), std::future_status::timeout);
  a.Say(Map(2, {a.address()}, 1));
  const Status status = freed.get();
  EXPECT_TRUE(status.ok()) << status;
}

TEST(Session, AnOwnerThatAnOldMapDoesNotListIsConnectedToAgain) {
  SaidFrontEnd a;
  SaidFrontEnd b;
  a.Say(Map(2, {a.address(), b.address()}, 2));
  b.Say(Map(2, {a.address(), b.address()}, 2));
  const auto client = Open(a.address());
  ASSERT_NE(client, nullptr);
  EXPECT_TRUE(client->Free(0, 1).ok());
  // One that has not heard of the other yet, and is asked for its map by a new connection.
  a.Say(Map(1, {a.address()}, 1));
  b.Say(Map(1, {a.address()}, 1));
  a.EndStreams();
  WaitUntil([&] { return a.streams() == 0; });
  WaitUntil([&] { return a.streams() == 2; });
  b.EndStreams();
  WaitUntil([&] { return b.streams() == 0; });
  const Status status = client->Free(0, 1);
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace vswap
