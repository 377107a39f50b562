#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "proto/grpc_glue.h"
#include "services/common/page.h"
#include "services/standalone.h"
#include "tests/support/raw_client.h"
#include "tests/support/temp_dir.h"

// The service as any gRPC client sees it: a real server, a real store, the messages by hand.
namespace vswap {
namespace {

using testing::HasSubstr;

constexpr uint64_t kSpacePages = 100000;

std::string TextPage(char letter) { return std::string(kPageBytes, letter); }

std::string NoisePage(unsigned seed) {
  std::mt19937 random(seed);
  std::string page(kPageBytes, '\0');
  for (char& byte : page) {
    byte = static_cast<char>(random());
  }
  return page;
}

class FrontEndService : public testing::Test {
 protected:
  FrontEndService() {
    StandaloneOptions options;
    options.listen = "127.0.0.1:0";
    options.data_dir = directory_.path() + "/data";
    options.compressor.memory_max = 8 << 20;
    StatusOr<std::unique_ptr<Role>> standalone = Standalone::Start(options);
    EXPECT_TRUE(standalone.ok()) << standalone.status();
    standalone_ = *std::move(standalone);
    client_ = std::make_unique<RawClient>(standalone_->listen(), "space", kSpacePages);
    EXPECT_TRUE(client_->open_status().ok()) << client_->open_status().error_message();
  }
  ~FrontEndService() override {
    client_.reset();
    EXPECT_TRUE(standalone_->Drain().ok());
  }

  // That the request is refused as INVALID_ARGUMENT with a message that holds `text`.
  template <typename Request, typename Response>
  void ExpectInvalid(const Request& request, Response response, const std::string& text) {
    const grpc::Status status = client_->Send(request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << text;
    EXPECT_THAT(status.error_message(), HasSubstr(text));
  }
  void ExpectBadStore(const v1::StoreRequest& request, const std::string& text) {
    ExpectInvalid(request, v1::StoreResponse(), text);
  }
  ErrorReason ReasonOfStore(const v1::StoreRequest& request) {
    v1::StoreResponse response;
    return ReasonOf(FromGrpc(client_->Send(request, &response)));
  }

  TempDir directory_;
  std::unique_ptr<Role> standalone_;
  std::unique_ptr<RawClient> client_;
};

TEST_F(FrontEndService, AZeroATextAndANoisePageComeBack) {
  v1::StoreRequest store = client_->StoreOf(10, {});
  store.mutable_extents(0)->set_pages(3);
  RawClient::AddPage(store, 10, v1::ENCODING_ZERO, TextPage('\0'), "");
  RawClient::AddPage(store, 11, v1::ENCODING_RAW, TextPage('a'), TextPage('a'));
  RawClient::AddPage(store, 12, v1::ENCODING_RAW, NoisePage(1), NoisePage(1));
  v1::StoreResponse stored;
  ASSERT_TRUE(client_->Send(store, &stored).ok());
  EXPECT_EQ(stored.codes(), std::string(3, '\1'));

  v1::LoadResponse loaded;
  ASSERT_TRUE(client_->Send(client_->LoadOf(9, 4), &loaded).ok());
  EXPECT_EQ(loaded.codes(), std::string(4, '\1'));
  EXPECT_EQ(loaded.encodings(), "\2\2\3\1");  // never stored, zero, compressed, incompressible
  EXPECT_EQ(loaded.pages().substr(loaded.pages().size() - kPageBytes), NoisePage(1));
  EXPECT_EQ(loaded.checksums(2), store.checksums(1));
  EXPECT_EQ(loaded.stamp_sequences(2), store.header().sequence());

  v1::FreeResponse freed;
  ASSERT_TRUE(client_->Send(client_->FreeOf(0, 100), &freed).ok());
  EXPECT_EQ(freed.freed_pages(), 3u);
  ASSERT_TRUE(client_->Send(client_->LoadOf(9, 4), &loaded).ok());
  EXPECT_EQ(loaded.encodings(), "\2\2\2\2");
}

TEST_F(FrontEndService, TheStreamMeansTheSameAsUnaryCalls) {
  grpc::ClientContext context;
  const auto stream = client_->stub().Exchange(&context);
  v1::ExchangeRequest request;
  request.set_id(1);
  *request.mutable_store() = client_->StoreOf(5, {TextPage('x'), NoisePage(2)});
  ASSERT_TRUE(stream->Write(request));
  v1::ExchangeResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.id(), 1u);
  EXPECT_EQ(response.store().codes(), "\1\1");

  request.set_id(2);
  *request.mutable_load() = client_->LoadOf(5, 2);
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.id(), 2u);
  v1::LoadResponse unary;
  ASSERT_TRUE(client_->Send(client_->LoadOf(5, 2), &unary).ok());
  EXPECT_EQ(response.load().SerializeAsString(), unary.SerializeAsString());

  request.set_id(3);
  request.mutable_extents()->mutable_extent()->set_pages(10);
  *request.mutable_extents()->mutable_header() = client_->Header(0);
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_EQ(response.extents().runs_size(), 4);
  EXPECT_EQ(response.extents().runs(1).kind(), v1::BACKING_KIND_COMPRESSED);
  EXPECT_EQ(response.extents().runs(2).kind(), v1::BACKING_KIND_PHYSICAL);

  request.set_id(4);
  *request.mutable_load() = client_->LoadOf(kSpacePages, 1);
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error().code(), static_cast<uint32_t>(StatusCode::kInvalidArgument));
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(FrontEndService, BadStoresAreRefusedWithFieldAndRange) {
  const v1::StoreRequest good = client_->StoreOf(7, {TextPage('a'), TextPage('b')});
  v1::StoreRequest bad = good;
  bad.mutable_lengths()->Set(0, 4095);
  ExpectBadStore(bad, "pages is 1 bytes more than lengths");
  bad = good;
  bad.mutable_pages()->resize(8191);
  ExpectBadStore(bad, "lengths");
  bad = good;
  bad.mutable_checksums()->RemoveLast();
  ExpectBadStore(bad, "checksums is 1 pages, allowed: 2");
  bad = good;
  bad.mutable_encodings()->at(1) = 9;
  ExpectBadStore(bad, "encodings is 9, allowed: 1 (RAW), 2 (ZERO), 3 (LZ4)");
  bad = good;
  bad.mutable_encodings()->at(1) = 3;
  ExpectBadStore(bad, "lengths is 4096, allowed: 1..4095 for LZ4");
  bad = good;
  bad.mutable_extents(0)->set_pages(3);
  ExpectBadStore(bad, "as many as the extents cover");
  bad = good;
  bad.mutable_extents(0)->set_pages(1);
  bad.add_extents()->set_pages(1);
  bad.mutable_extents(1)->set_offset(7);
  ExpectBadStore(bad, "extents is slot 7 twice, allowed: each slot once");
  bad = good;
  bad.mutable_extents(0)->set_offset(kSpacePages - 1);
  bad.mutable_header()->set_shard(client_->Header(kSpacePages - 1).shard());
  ExpectBadStore(bad, "pages is 2, allowed: 1..1 at offset 99999");
  bad = good;
  bad.mutable_extents(0)->set_offset(~uint64_t{0});
  ExpectBadStore(bad, "offset is 18446744073709551615, allowed: 0..99999");
  bad = client_->StoreOf(0, std::vector<std::string>(513, TextPage('a')));
  ExpectBadStore(bad, "encodings is 513 pages, allowed: 1..512");
  bad = good;
  bad.clear_extents();
  ExpectBadStore(bad, "as many as the extents cover");
  bad = good;
  bad.mutable_header()->set_shard(64);
  ExpectBadStore(bad, "shard is 64, allowed: 0..63");
  bad = good;
  bad.mutable_header()->set_shard((good.header().shard() + 1) % 64);
  ExpectBadStore(bad, "for offset 7");
  bad = good;
  bad.mutable_header()->set_sequence(0);
  ExpectBadStore(bad, "sequence is 0, allowed: 1 and up");
  bad = good;
  bad.mutable_header()->set_sequence_floor(good.header().sequence() + 1);
  ExpectBadStore(bad, "sequence_floor");
  bad = good;
  bad.mutable_pages()->resize(kMessageBytesMax);
  ExpectBadStore(bad, "message is ");
  v1::StoreResponse response;
  EXPECT_TRUE(client_->Send(good, &response).ok());
}

TEST_F(FrontEndService, BadLoadsAndFreesAreRefusedWithFieldAndRange) {
  ExpectInvalid(client_->LoadOf(0, 513), v1::LoadResponse(), "pages is 513, allowed: 1..512");
  ExpectInvalid(client_->LoadOf(0, 0), v1::LoadResponse(), "pages is 0");
  ExpectInvalid(client_->FreeOf(0, 32769), v1::FreeResponse(), "pages is 32769, allowed: 1..32768");
  v1::LoadRequest wide = client_->LoadOf(32768 - 1, 2);
  v1::LoadResponse response;
  const grpc::Status status = client_->Send(wide, &response);
  if (ShardOf(wide.header().space(), 32767, 64) != ShardOf(wide.header().space(), 32768, 64)) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("shard"));
  }
  v1::LoadRequest none = client_->LoadOf(0, 1);
  none.clear_extents();
  ExpectInvalid(none, v1::LoadResponse(), "extents is 0 long, allowed: 1..512");
}

TEST_F(FrontEndService, ABadPageIsRefusedAloneAndTheOthersAreKept) {
  v1::StoreRequest store = client_->StoreOf(20, {TextPage('a'), TextPage('b'), TextPage('c')});
  store.mutable_pages()->at(kPageBytes + 17) ^= 1;  // on the wire
  store.mutable_extents(0)->set_pages(4);
  RawClient::AddPage(store, 23, v1::ENCODING_LZ4, TextPage('d'), "no LZ4 block");
  v1::StoreResponse response;
  ASSERT_TRUE(client_->Send(store, &response).ok());
  EXPECT_EQ(response.codes(), "\1\7\1\6");  // OK, CORRUPT, OK, INVALID
  v1::LoadResponse loaded;
  ASSERT_TRUE(client_->Send(client_->LoadOf(20, 4), &loaded).ok());
  EXPECT_EQ(loaded.encodings(), "\3\2\3\2");  // the refused ones hold what they held: nothing
}

TEST_F(FrontEndService, WrongSpaceEpochAndTokenHaveTheirReasons) {
  v1::StoreRequest bad = client_->StoreOf(1, {TextPage('a')});
  bad.mutable_header()->set_space(77);
  EXPECT_EQ(ReasonOfStore(bad), ErrorReason::kUnknownSpace);
  bad = client_->StoreOf(1, {TextPage('a')});
  bad.mutable_header()->set_shard_epoch(bad.header().shard_epoch() + 1);
  EXPECT_EQ(ReasonOfStore(bad), ErrorReason::kStaleEpoch);

  const v1::StoreRequest late = client_->StoreOf(1, {TextPage('a')});
  v1::OpenRequest open;
  open.set_name("space");
  open.set_holder("another");
  v1::OpenResponse opened;
  {
    grpc::ClientContext context;
    const grpc::Status status = client_->stub().Open(&context, open, &opened);
    EXPECT_EQ(ReasonOf(FromGrpc(status)), ErrorReason::kAttached);
  }
  open.set_take_over(true);
  {
    grpc::ClientContext context;
    ASSERT_TRUE(client_->stub().Open(&context, open, &opened).ok());
  }
  EXPECT_GT(opened.token(), late.header().token());
  EXPECT_EQ(ReasonOfStore(late), ErrorReason::kFenced);
}

TEST_F(FrontEndService, NoiseOnTheStreamIsAnsweredAndDoesNotHurt) {
  grpc::ClientContext context;
  const auto stream = client_->stub().Exchange(&context);
  v1::ExchangeRequest empty;
  empty.set_id(9);
  ASSERT_TRUE(stream->Write(empty));
  v1::ExchangeResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error().code(), static_cast<uint32_t>(StatusCode::kInvalidArgument));
  v1::ExchangeRequest request;
  request.set_id(10);
  *request.mutable_load() = client_->LoadOf(1, 1);
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.id(), 10u);
  EXPECT_EQ(response.load().codes(), "\1");
}

}  // namespace
}  // namespace vswap
