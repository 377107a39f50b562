#include "client/call.h"

#include <gtest/gtest.h>

#include <array>
#include <deque>

#include "services/common/checksum.h"
#include "services/common/thread_pool.h"

namespace vswap::client {
namespace {

using std::chrono::seconds;

// Keeps what is submitted; the test answers.
class ManualSink : public RequestSink {
 public:
  void Submit(RequestPtr request) override {
    request->sequence = ++submitted;
    if (!refusal.ok()) {
      Answer answer;
      answer.status = refusal;
      request->done(answer);
      return;
    }
    pending.push_back(std::move(request));
  }
  RequestPtr Pop() {
    RequestPtr request = std::move(pending.front());
    pending.pop_front();
    return request;
  }
  std::deque<RequestPtr> pending;
  Status refusal;
  Sequence submitted = 0;
};

size_t PagesOf(const Request& request) {
  size_t pages = 0;
  for (const Extent& extent : request.extents) {
    pages += extent.pages;
  }
  return pages;
}

class CallTest : public testing::Test {
 protected:
  static constexpr SpaceId kSpace = 3;

  std::shared_ptr<PagesResult> BeginStore(std::vector<PageRange> ranges) {
    bytes_.assign(CountPages(ranges) * kPageBytes, std::byte{1});
    auto result = std::make_shared<PagesResult>();
    std::make_shared<StoreCall>(context_, std::move(ranges), bytes_, Keep(result))->Start();
    return result;
  }
  std::shared_ptr<PagesResult> BeginLoad(std::vector<PageRange> ranges) {
    bytes_.assign(CountPages(ranges) * kPageBytes, std::byte{0xee});
    auto result = std::make_shared<PagesResult>();
    std::make_shared<LoadCall>(context_, std::move(ranges), bytes_, Keep(result))->Start();
    return result;
  }
  SwapClient::PagesDone Keep(std::shared_ptr<PagesResult> result) {
    return [this, result = std::move(result)](PagesResult r) {
      *result = std::move(r);
      ++finished_;
    };
  }
  static size_t CountPages(const std::vector<PageRange>& ranges) {
    size_t pages = 0;
    for (const PageRange& range : ranges) {
      pages += range.pages;
    }
    return pages;
  }
  void AnswerStore(const std::string& codes) {
    const RequestPtr request = sink_.Pop();
    Answer answer;
    answer.kind = RequestKind::kStore;
    answer.store.set_codes(codes);
    request->done(answer);
  }
  void Refuse(const Status& status) {
    const RequestPtr request = sink_.Pop();
    Answer answer;
    answer.status = status;
    request->done(answer);
  }
  // Answers with pages full of `fill`; those in `damaged` do not have what their checksum says.
  void AnswerLoad(std::byte fill, const std::string& codes,
                  const std::vector<size_t>& damaged = {}) {
    const RequestPtr request = sink_.Pop();
    Answer answer;
    answer.kind = RequestKind::kLoad;
    std::vector<std::byte> pages;
    size_t i = 0;
    for (const Extent& extent : request->extents) {
      for (uint32_t k = 0; k < extent.pages; ++k, ++i) {
        std::array<std::byte, kPageBytes> page;
        page.fill(fill);
        const bool there = codes[i] == 1;
        answer.load.mutable_codes()->push_back(codes[i]);
        answer.load.mutable_encodings()->push_back(there ? 1 : 0);
        answer.load.add_lengths(there ? kPageBytes : 0);
        answer.load.add_checksums(PageChecksum(kSpace, extent.offset + k, {1, 2}, page));
        answer.load.add_stamp_tokens(1);
        answer.load.add_stamp_sequences(2);
        if (std::ranges::find(damaged, i) != damaged.end()) {
          page[77] ^= std::byte{4};
        }
        if (there) {
          pages.insert(pages.end(), page.begin(), page.end());
        }
      }
    }
    answer.pages = pages;
    request->done(answer);
  }

  ManualExecutor clock_;
  ManualSink sink_;
  CallContext context_{clock_, sink_, kSpace, 64, seconds(60)};
  std::vector<std::byte> bytes_;
  int finished_ = 0;
};

TEST_F(CallTest, ALongStoreKeepsABoundedNumberOfBatchesUnderWay) {
  const auto result = BeginStore({{0, 20000}});
  size_t batches = 0;
  while (!sink_.pending.empty()) {
    EXPECT_LE(sink_.pending.size(), Call::kBatchesMax);
    AnswerStore(std::string(PagesOf(*sink_.pending.front()), '\1'));
    ++batches;
  }
  EXPECT_EQ(finished_, 1);
  EXPECT_EQ(batches, 79u);
  EXPECT_TRUE(result->AllOk());
  EXPECT_EQ(result->codes.size(), 20000u);
}

TEST_F(CallTest, RefusedPagesAreNamedAndNotSentAgain) {
  const auto result = BeginStore({{0, 2}, {10, 1}});
  AnswerStore("\1\4\1");
  EXPECT_EQ(finished_, 1);
  EXPECT_TRUE(result->status.ok());
  EXPECT_EQ(result->codes,
            (std::vector{PageCode::kOk, PageCode::kResourceExhausted, PageCode::kOk}));
  EXPECT_EQ(result->Find(PageCode::kResourceExhausted), 1u);
}

TEST_F(CallTest, UnavailableAndCorruptPagesOfAStoreAreSentAgainAlone) {
  const auto result = BeginStore({{0, 4}});
  AnswerStore("\1\x8\1\7");
  EXPECT_EQ(finished_, 0);
  ASSERT_EQ(sink_.pending.size(), 1u);
  EXPECT_EQ(sink_.pending[0]->extents, (std::vector<Extent>{{1, 1}, {3, 1}}));
  EXPECT_GT(sink_.pending[0]->not_before, clock_.Now());
  EXPECT_EQ(sink_.pending[0]->pages[1].data(), bytes_.data() + 3 * kPageBytes);
  AnswerStore("\1\1");
  EXPECT_EQ(finished_, 1);
  EXPECT_TRUE(result->AllOk());
}

TEST_F(CallTest, UnavailablePagesAreGivenUpWhenPatienceIsOver) {
  const auto result = BeginStore({{0, 1}});
  AnswerStore("\x8");
  EXPECT_LT(sink_.pending[0]->patience, seconds(61));
  clock_.Advance(seconds(60));
  AnswerStore("\x8");
  EXPECT_EQ(finished_, 1);
  EXPECT_EQ(result->codes[0], PageCode::kUnavailable);
}

TEST_F(CallTest, APageThatAlwaysArrivesDamagedIsGivenUp) {
  const auto result = BeginStore({{0, 1}});
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(finished_, 0);
    AnswerStore("\7");
  }
  EXPECT_EQ(finished_, 1);
  EXPECT_EQ(result->codes[0], PageCode::kCorrupt);
}

TEST_F(CallTest, AFailedBatchFailsTheCallAndBeginsNoMore) {
  const auto result = BeginStore({{0, 20000}});
  const Status status = MakeError(StatusCode::kDeadlineExceeded, "slow");
  AnswerStore(std::string(PagesOf(*sink_.pending.front()), '\1'));
  for (size_t i = 0; i < Call::kBatchesMax; ++i) {
    Refuse(status);
  }
  EXPECT_TRUE(sink_.pending.empty());
  EXPECT_EQ(finished_, 1);
  EXPECT_EQ(result->status, status);
  EXPECT_EQ(std::ranges::count(result->codes, PageCode::kOk), 256);
  EXPECT_EQ(std::ranges::count(result->codes, PageCode::kUnavailable), 20000 - 256);
}

TEST_F(CallTest, RefusalWithinSubmitEndsTheCallOnce) {
  sink_.refusal = MakeError(ErrorReason::kFenced, "fenced");
  const auto result = BeginStore({{0, 20000}});
  EXPECT_EQ(finished_, 1);
  EXPECT_EQ(ReasonOf(result->status), ErrorReason::kFenced);
}

TEST_F(CallTest, LoadedPagesLandWhereTheirRangesSay) {
  const auto result = BeginLoad({{5, 1}, {9, 2}});
  AnswerLoad(std::byte{0x22}, "\1\1\1");
  EXPECT_EQ(finished_, 1);
  EXPECT_TRUE(result->AllOk());
  EXPECT_EQ(std::ranges::count(bytes_, std::byte{0x22}), 3 * 4096);
}

TEST_F(CallTest, ADamagedPageIsLoadedAgain) {
  const auto result = BeginLoad({{5, 3}});
  AnswerLoad(std::byte{0x22}, "\1\1\1", {1});
  ASSERT_EQ(sink_.pending.size(), 1u);
  EXPECT_EQ(sink_.pending[0]->extents, (std::vector<Extent>{{6, 1}}));
  AnswerLoad(std::byte{0x22}, "\1");
  EXPECT_TRUE(result->AllOk());
  EXPECT_EQ(std::ranges::count(bytes_, std::byte{0x22}), 3 * 4096);
}

TEST_F(CallTest, AlwaysDamagedIsLostForExactlyThatPage) {
  const auto result = BeginLoad({{5, 3}});
  AnswerLoad(std::byte{0x22}, "\1\1\1", {1});
  AnswerLoad(std::byte{0x22}, "\1", {0});
  AnswerLoad(std::byte{0x22}, "\1", {0});
  EXPECT_EQ(finished_, 1);
  EXPECT_TRUE(result->status.ok());
  EXPECT_EQ(result->codes, (std::vector{PageCode::kOk, PageCode::kDataLoss, PageCode::kOk}));
}

TEST_F(CallTest, LostAndMissingPagesAreFinal) {
  const auto result = BeginLoad({{5, 2}});
  AnswerLoad(std::byte{0x22}, "\3\2");
  EXPECT_EQ(finished_, 1);
  EXPECT_EQ(result->codes, (std::vector{PageCode::kDataLoss, PageCode::kNotFound}));
}

TEST_F(CallTest, UnavailablePagesOfALoadAreAskedForAgain) {
  const auto result = BeginLoad({{5, 2}});
  AnswerLoad(std::byte{0x22}, "\x8\1");
  AnswerLoad(std::byte{0x22}, "\x8");
  AnswerLoad(std::byte{0x22}, "\1");
  EXPECT_TRUE(result->AllOk());
}

TEST_F(CallTest, AnAnswerThatDoesNotFitIsAnError) {
  const auto result = BeginStore({{0, 2}});
  AnswerStore("\1");
  EXPECT_EQ(finished_, 1);
  EXPECT_EQ(result->status.code(), StatusCode::kInternal);
}

TEST_F(CallTest, ExtentsComeInOrderAndJoined) {
  StatusOr<SwapClient::Runs> result = SwapClient::Runs{};
  const PageRange range{kStripePages - 10, 2 * kStripePages};
  std::make_shared<ExtentsCall>(context_, range, [&](StatusOr<SwapClient::Runs> runs) {
    result = std::move(runs);
    ++finished_;
  })->Start();
  ASSERT_EQ(sink_.pending.size(), 3u);
  while (!sink_.pending.empty()) {
    // The last one first.
    std::swap(sink_.pending.front(), sink_.pending.back());
    const RequestPtr request = sink_.Pop();
    ASSERT_EQ(request->extents.size(), 1u);
    Answer answer;
    answer.kind = RequestKind::kExtents;
    v1::BackingRun* run = answer.extents.add_runs();
    run->set_pages(request->extents[0].pages - 1);
    run->set_kind(v1::BACKING_KIND_NONE);
    run = answer.extents.add_runs();
    run->set_pages(1);
    run->set_kind(request->extents[0].offset == range.offset ? v1::BACKING_KIND_NONE
                                                             : v1::BACKING_KIND_PHYSICAL);
    request->done(answer);
  }
  EXPECT_EQ(finished_, 1);
  ASSERT_TRUE(result.ok());
  const SwapClient::Runs expected{{10 + kStripePages - 1, BackingKind::kNone},
                                  {1, BackingKind::kPhysical},
                                  {kStripePages - 11, BackingKind::kNone},
                                  {1, BackingKind::kPhysical}};
  EXPECT_EQ(*result, expected);
}

}  // namespace
}  // namespace vswap::client
