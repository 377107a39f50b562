#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/support/service.h"

// What libvswap answers to bad input and to a world that has changed, and that it goes on after.
namespace vswap {
namespace {

using testing::HasSubstr;

constexpr uint64_t kPages = 100000;

class ClientErrors : public testing::Test {
 protected:
  static void ExpectFails(const Status& status, StatusCode code, const std::string& text,
                          ErrorReason reason = ErrorReason::kNone) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(ReasonOf(status), reason) << status;
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(text));
  }
  static void ExpectInvalid(const Status& status, const std::string& text) {
    ExpectFails(status, StatusCode::kInvalidArgument, text);
  }
  // Of a call that is refused as a whole.
  static void ExpectInvalid(const PagesResult& result, const std::string& text) {
    ExpectInvalid(result.status, text);
    EXPECT_TRUE(result.codes.empty());
  }
  static Status OpenStatus(const ClientOptions& options) {
    return SwapClient::Open(options).status();
  }
  ClientOptions Options() const { return service_.OptionsFor("space", kPages); }

  Service service_{{"--memory-max", "8MiB", "--block-cache", "1MiB"}};
  std::unique_ptr<SwapClient> client_ = service_.Open("space", kPages);
  PageBytes bytes_ = NoisyPage(1, 1024);
};

TEST_F(ClientErrors, BadStoresAndLoadsAreNamedAndNothingIsStored) {
  PageBytes two(2 * kPageBytes, std::byte{1});
  PageBytes part(kPageBytes + 1, std::byte{1});
  // Wrong sizes.
  ExpectInvalid(client_->Store(0, part), "bytes is 4097 long, allowed: 4096");
  ExpectInvalid(client_->Load(0, part), "bytes is 4097 long, allowed: 4096");
  ExpectInvalid(client_->Store({{0, 3}}, two), "bytes is 8192 long, allowed: 12288");
  ExpectInvalid(client_->Load({{0, 1}}, two), "bytes is 8192 long, allowed: 4096");
  // No pages.
  ExpectInvalid(client_->Store(0, {}), "pages is 0, allowed: 1..100000 at offset 0");
  ExpectInvalid(client_->Load(0, {}), "pages is 0");
  ExpectInvalid(client_->Store(std::vector<PageRange>{}, {}), "ranges is 0 long");
  ExpectInvalid(client_->Store({{0, 1}, {5, 0}, {6, 1}}, two), "pages is 0, allowed: 1..99995");
  // Past the end.
  ExpectInvalid(client_->Store(kPages - 1, two), "pages is 2, allowed: 1..1 at offset 99999");
  ExpectInvalid(client_->Load(kPages - 1, two), "pages is 2, allowed: 1..1 at offset 99999");
  ExpectInvalid(client_->Store(kPages, bytes_), "offset is 100000, allowed: 0..99999");
  ExpectInvalid(client_->Load(~Offset{0}, bytes_), "offset is 18446744073709551615");
  ExpectInvalid(client_->Store({{1, ~uint64_t{0}}}, bytes_), "pages is 18446744073709551615");
  // One slot twice: not in a store, but in a load.
  ExpectInvalid(client_->Store({{7, 1}, {7, 1}}, two), "slot 7 twice");
  PageBytes four(4 * kPageBytes, std::byte{1});
  ExpectInvalid(client_->Store({{8, 2}, {7, 2}}, four), "slot 8 twice, allowed: each slot once");
  EXPECT_TRUE(client_->Load({{8, 2}, {7, 2}}, four).AllOk());
  EXPECT_EQ(four, PageBytes(4 * kPageBytes));

  service_.ExpectEmpty();
  EXPECT_TRUE(client_->Store(0, bytes_).AllOk());
}

TEST_F(ClientErrors, BadFreesPrefetchesAndExtentsAreNamedAndNothingIsFreed) {
  ASSERT_TRUE(client_->Store(kPages - 1, bytes_).AllOk());
  ExpectInvalid(client_->Free(0, 0), "pages is 0");
  ExpectInvalid(client_->Free(0, kPages + 1), "pages is 100001, allowed: 1..100000 at offset 0");
  ExpectInvalid(client_->Free(kPages, 1), "offset is 100000");
  ExpectInvalid(client_->Free({{kPages - 10, 10}, {kPages - 1, 1}}), "slot 99999 twice");
  ExpectInvalid(client_->Prefetch(0, 0), "pages is 0");
  ExpectInvalid(client_->Prefetch(kPages - 1, 2), "pages is 2, allowed: 1..1");
  ExpectInvalid(client_->Extents(0, 0).status(), "pages is 0");
  ExpectInvalid(client_->Extents(1, kPages).status(), "pages is 100000, allowed: 1..99999");
  PageBytes loaded(kPageBytes);
  EXPECT_TRUE(client_->Load(kPages - 1, loaded).AllOk());
  EXPECT_EQ(loaded, bytes_);
}

TEST_F(ClientErrors, BadOptionsAreNamed) {
  const auto invalid = [](ClientOptions options, const std::string& text) {
    ExpectInvalid(OpenStatus(options), text);
  };
  ClientOptions options = Options();
  for (const char* frontend : {"", "nonsense", "127.0.0.1", ":7410", "127.0.0.1:", "127.0.0.1:0",
                               "127.0.0.1:65536", "127.0.0.1:port", "127.0.0.1:123456789"}) {
    options.frontend = frontend;
    invalid(options, "frontend is '" + std::string(frontend) + "', allowed: HOST:PORT");
  }
  options = Options();
  options.space = "";
  invalid(options, "space is 0 bytes long, allowed: 1..255 bytes");
  options.space = std::string(256, 'x');
  invalid(options, "space is 256 bytes long");
  options = Options();
  options.holder = "";
  invalid(options, "holder is 0 bytes long");
  options = Options();
  options.create_pages = kSpacePagesMax + 1;
  invalid(options, "create_pages is 2199023255553, allowed: 0..2^41");
  options = Options();
  options.patience = Duration::zero();
  invalid(options, "patience is 0 ns, allowed: above 0");
  options = Options();
  options.pages_max = 0;
  invalid(options, "pages_max is 0");
}

TEST_F(ClientErrors, AServiceThatIsNotThereIsUnavailableAfterThePatience) {
  ClientOptions options = Options();
  options.patience = std::chrono::milliseconds(300);
  service_.process().Terminate();  // nobody listens there now
  ExpectFails(OpenStatus(options), StatusCode::kUnavailable,
              "frontend " + options.frontend + " did not serve within 300 ms");
  options.frontend = "no-such-host.invalid:7410";
  ExpectFails(OpenStatus(options), StatusCode::kUnavailable, "frontend no-such-host.invalid:7410");
}

TEST_F(ClientErrors, ACallWithoutServiceFailsAfterThePatienceAndLaterOnesGoOn) {
  ClientOptions options = Options();
  options.patience = std::chrono::milliseconds(500);
  client_ = *SwapClient::Open(options);
  ASSERT_TRUE(client_->Store(5, bytes_).AllOk());
  service_.process().Kill();
  PageBytes loaded(kPageBytes);
  const PagesResult result = client_->Load(5, loaded);
  ExpectFails(result.status, StatusCode::kUnavailable, "within 500 ms");
  EXPECT_EQ(result.codes, std::vector{PageCode::kUnavailable});
  EXPECT_FALSE(client_->Store(6, bytes_).AllOk());
  EXPECT_FALSE(client_->Free(6, 1).ok());
  ASSERT_TRUE(service_.process().Start().ok());
  EXPECT_TRUE(PollUntil([&] { return client_->Load(5, loaded).AllOk(); }));
  EXPECT_EQ(loaded, bytes_);
}

TEST_F(ClientErrors, AnUnknownSpaceIsNotMade) {
  ClientOptions options = service_.OptionsFor("nowhere", 0);
  ExpectFails(OpenStatus(options), StatusCode::kNotFound, "there is no space nowhere",
              ErrorReason::kUnknownSpace);
  ExpectFails(OpenStatus(options), StatusCode::kNotFound, "nowhere", ErrorReason::kUnknownSpace);
  options.create_pages = 7;
  const auto made = SwapClient::Open(options);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ((*made)->space_pages(), 7u);
  options.create_pages = 9;  // the size of a space that exists stays
  const auto again = SwapClient::Open(options);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->space_pages(), 7u);
}

TEST_F(ClientErrors, AnotherHolderIsRefusedUntilTheFirstLetsGo) {
  ASSERT_TRUE(client_->Store(1, bytes_).AllOk());
  ClientOptions options = Options();
  options.holder = "somebody else";
  ExpectFails(OpenStatus(options), StatusCode::kFailedPrecondition,
              "space space is attached by holder test", ErrorReason::kAttached);
  EXPECT_TRUE(client_->Store(1, bytes_).AllOk());  // and is not disturbed by it
  ASSERT_TRUE(client_->Close().ok());
  const auto other = SwapClient::Open(options);
  ASSERT_TRUE(other.ok()) << other.status();
  PageBytes loaded(kPageBytes);
  EXPECT_TRUE((*other)->Load(1, loaded).AllOk());
  EXPECT_EQ(loaded, bytes_);
}

TEST_F(ClientErrors, WhoIsTakenOverIsFencedForGood) {
  ASSERT_TRUE(client_->Store(1, bytes_).AllOk());
  ClientOptions options = Options();
  options.holder = "somebody else";
  options.take_over = true;
  const auto other = SwapClient::Open(options);
  ASSERT_TRUE(other.ok()) << other.status();
  const auto expect_fenced = [](const Status& status) {
    EXPECT_EQ(status.code(), StatusCode::kAborted) << status;
    EXPECT_EQ(ReasonOf(status), ErrorReason::kFenced) << status;
  };
  PageBytes loaded(kPageBytes);
  expect_fenced(client_->Store(1, ZeroPage()).status);
  expect_fenced(client_->Load(1, loaded).status);
  expect_fenced(client_->Free(1, 1));
  expect_fenced(client_->Prefetch(1, 1));
  expect_fenced(client_->Extents(1, 1).status());
  service_.Restart();
  expect_fenced(client_->Store(1, ZeroPage()).status);
  expect_fenced(client_->Close());
  EXPECT_TRUE((*other)->Load(1, loaded).AllOk());
  EXPECT_EQ(loaded, bytes_);
}

// The same holder comes back at once, as a process that was restarted does; its predecessor, if it
// lives, is fenced, also if it has never heard of a restart of the service since.
TEST_F(ClientErrors, ARestartedHolderFencesItsPredecessor) {
  ASSERT_TRUE(client_->Store(1, bytes_).AllOk());
  const auto successor = service_.Open("space", kPages);
  ASSERT_NE(successor, nullptr);
  service_.Restart();
  EXPECT_EQ(ReasonOf(client_->Store(1, ZeroPage()).status), ErrorReason::kFenced);
  PageBytes loaded(kPageBytes);
  EXPECT_TRUE(successor->Load(1, loaded).AllOk());
  EXPECT_EQ(loaded, bytes_);
}

TEST_F(ClientErrors, AClosedClientRefusesAndACancelledCallIsToldSo) {
  ASSERT_TRUE(client_->Close().ok());
  ExpectFails(client_->Store(1, bytes_).status, StatusCode::kFailedPrecondition, "closed");
  ExpectFails(client_->Free(1, 1), StatusCode::kFailedPrecondition, "closed");
  client_ = service_.Open("space", kPages);
  service_.process().Kill();
  std::promise<Status> answer;
  client_->StoreAsync({{1, 1}}, bytes_,
                      [&](const PagesResult& result) { answer.set_value(result.status); });
  client_ = nullptr;
  EXPECT_EQ(answer.get_future().get().code(), StatusCode::kCancelled);
}

TEST_F(ClientErrors, ABlockingCallFromACallbackIsRefused) {
  std::promise<Status> answer;
  client_->FreeAsync({{1, 1}}, [&](const Status&) { answer.set_value(client_->Free(2, 1)); });
  ExpectFails(answer.get_future().get(), StatusCode::kFailedPrecondition,
              "a blocking call was made from a callback");
}

}  // namespace
}  // namespace vswap
