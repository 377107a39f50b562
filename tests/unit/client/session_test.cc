#include "client/session.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "client/swap_client.h"
#include "services/common/checksum.h"
#include "services/common/mutex.h"
#include "tests/support/page_bytes.h"

// What a client makes of shard maps that are old, or that name nobody: front-ends that say what the
// test wants.
namespace vswap {
namespace {

using namespace std::chrono_literals;

// Frees anything, and loads one page wherever it is asked; owns what the map says.
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
  // What it answers loads with, from now on.
  void AnswerLoads(Epoch epoch, const PageBytes& page) {
    MutexLock lock(mutex_);
    load_epoch_ = epoch;
    page_ = page;
  }
  int streams() const { return streams_; }
  int loads() const { return loads_; }
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
      if (request.has_load()) {
        AnswerLoad(request.load(), *response.mutable_load());
      } else {
        response.mutable_free()->set_shard_epoch(request.free().header().shard_epoch());
      }
      stream->Write(response);
    }
    over = true;
    ender.join();
    --streams_;
    return grpc::Status::OK;
  }

  // One page; its checksum is right.
  void AnswerLoad(const v1::LoadRequest& request, v1::LoadResponse& response) {
    const Stamp stamp{1, 1};
    MutexLock lock(mutex_);
    response.set_shard_epoch(load_epoch_);
    response.set_codes(std::string(1, static_cast<char>(PageCode::kOk)));
    response.set_encodings(std::string(1, static_cast<char>(Encoding::kRaw)));
    response.add_lengths(kPageBytes);
    response.add_checksums(PageChecksum(request.header().space(), request.extents(0).offset(),
                                        stamp, PageView(page_)));
    response.add_stamp_tokens(stamp.token);
    response.add_stamp_sequences(stamp.sequence);
    response.set_pages(page_.data(), page_.size());
    ++loads_;
  }

  int port_ = 0;
  Mutex mutex_;
  v1::ShardMap map_ GUARDED_BY(mutex_);
  Epoch load_epoch_ GUARDED_BY(mutex_) = 0;
  PageBytes page_ GUARDED_BY(mutex_);
  std::atomic<int> streams_{0};
  std::atomic<int> loads_{0};
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

const PageBytes kOldPage = NoisyPage(1, 64);
const PageBytes kNewPage = NoisyPage(2, 64);

PageBytes LoadOne(SwapClient& client) {
  PageBytes page(kPageBytes);
  const PagesResult result = client.Load(0, page);
  EXPECT_TRUE(result.AllOk()) << result.status;
  return page;
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

// A front-end that does not know yet that it was replaced.
TEST(Session, AnAnswerOfAnOlderEpochThanTheMapSaysIsNotBelieved) {
  SaidFrontEnd a;
  a.Say(Map(2, {a.address()}, 1));
  a.AnswerLoads(1, kOldPage);
  const auto client = Open(a.address());
  ASSERT_NE(client, nullptr);
  auto loaded = std::async(std::launch::async, [&] { return LoadOne(*client); });
  WaitUntil([&] { return a.loads() > 2; });  // it is asked again
  EXPECT_EQ(loaded.wait_for(0ms), std::future_status::timeout);
  a.AnswerLoads(2, kNewPage);
  EXPECT_EQ(loaded.get(), kNewPage);
}

TEST(Session, AnAnswerOfAnOlderEpochThanAnotherAnswersIsNotBelieved) {
  SaidFrontEnd a;
  a.Say(Map(1, {a.address()}, 1));
  a.AnswerLoads(2, kNewPage);
  const auto client = Open(a.address());
  ASSERT_NE(client, nullptr);
  EXPECT_EQ(LoadOne(*client), kNewPage);
  const int before = a.loads();
  a.AnswerLoads(1, kOldPage);
  auto loaded = std::async(std::launch::async, [&] { return LoadOne(*client); });
  WaitUntil([&] { return a.loads() > before + 2; });
  a.AnswerLoads(2, kNewPage);
  EXPECT_EQ(loaded.get(), kNewPage);
}

TEST(Session, AMapOfAnOlderEpochLeadsNobodyToTheFormerOwner) {
  SaidFrontEnd former;
  SaidFrontEnd owner;
  const v1::ShardMap now = Map(2, {former.address(), owner.address()}, 2);
  former.Say(now);
  owner.Say(now);
  former.AnswerLoads(1, kOldPage);
  owner.AnswerLoads(2, kNewPage);
  const auto client = Open(former.address());
  ASSERT_NE(client, nullptr);
  EXPECT_EQ(LoadOne(*client), kNewPage);
  // Continued after a while, it is asked for its map by a new connection.
  former.Say(Map(1, {former.address(), owner.address()}, 1));
  former.EndStreams();
  WaitUntil([&] { return former.streams() == 0; });
  WaitUntil([&] { return former.streams() == 2; });
  EXPECT_EQ(LoadOne(*client), kNewPage);
  EXPECT_EQ(former.loads(), 0);
}

}  // namespace
}  // namespace vswap
