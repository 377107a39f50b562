#include "client/call.h"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <memory>

#include "services/common/checksum.h"
#include "services/common/thread_pool.h"

namespace vswap::client {
namespace {

using std::chrono::seconds;

// Keeps what is submitted; the test answers.
class ManualSink : public RequestSink {
 public:
  void Submit(Request& request) override {
    request.sequence = ++submitted;
    if (!refusal.ok()) {
      Answer answer;
      answer.status = refusal;
      request.owner->OnAnswer(request, answer);
      return;
    }
    pending.push_back(&request);
  }
  Request& Pop() {
    Request* request = pending.front();
    pending.pop_front();
    return *request;
  }
  std::deque<Request*> pending;
  Status refusal;
  Sequence submitted = 0;
};

std::vector<Extent> ExtentsOf(const Request& request) {
  std::vector<Extent> extents;
  for (const Piece& piece : request.pieces) {
    extents.push_back(piece.extent);
  }
  return extents;
}

class CallTest : public testing::Test {
 protected:
  static constexpr SpaceId kSpace = 3;

  // A call and what it borrows.
  struct Held : Call::Finisher {
    void OnFinished() override {
      result.status = call->status();
      result.codes = codes;
      ++*finished;
    }
    std::vector<PageRange> ranges;
    std::vector<PageCode> codes;
    int* finished = nullptr;
    PagesResult result;
    std::unique_ptr<Call> call;
  };
  Held& Hold(std::vector<PageRange> ranges) {
    Held& held = *held_.emplace_back(std::make_unique<Held>());
    held.finished = &finished_;
    held.codes.resize(CountPages(ranges));
    held.ranges = std::move(ranges);
    return held;
  }
  PagesResult* Begin(Held& held) {
    held.call->AddRoom(pool_.Take(false));
    held.call->Start();
    return &held.result;
  }
  PagesResult* BeginStore(std::vector<PageRange> ranges) {
    bytes_.assign(CountPages(ranges) * kPageBytes, std::byte{1});
    Held& held = Hold(std::move(ranges));
    held.call = std::make_unique<StoreCall>(context_, held.ranges, bytes_, held.codes, held);
    return Begin(held);
  }
  PagesResult* BeginLoad(std::vector<PageRange> ranges) {
    bytes_.assign(CountPages(ranges) * kPageBytes, std::byte{0xee});
    Held& held = Hold(std::move(ranges));
    held.call = std::make_unique<LoadCall>(context_, held.ranges, bytes_, held.codes, held);
    return Begin(held);
  }
  static size_t CountPages(const std::vector<PageRange>& ranges) {
    size_t pages = 0;
    for (const PageRange& range : ranges) {
      pages += range.pages;
    }
    return pages;
  }
  void AnswerStore(const std::string& codes) {
    Request& request = sink_.Pop();
    Answer answer;
    answer.kind = RequestKind::kStore;
    for (const char code : codes) {
      answer.codes.push_back(static_cast<PageCode>(code));
    }
    request.owner->OnAnswer(request, answer);
  }
  void Refuse(const Status& status) {
    Request& request = sink_.Pop();
    Answer answer;
    answer.status = status;
    request.owner->OnAnswer(request, answer);
  }
  // Answers with pages full of `fill`; those in `damaged` do not have what their checksum says.
  void AnswerLoad(std::byte fill, const std::string& codes,
                  const std::vector<size_t>& damaged = {}) {
    Request& request = sink_.Pop();
    Answer answer;
    answer.kind = RequestKind::kLoad;
    std::vector<std::byte> pages;
    size_t i = 0;
    for (const Extent& extent : ExtentsOf(request)) {
      for (uint32_t k = 0; k < extent.pages; ++k, ++i) {
        std::array<std::byte, kPageBytes> page;
        page.fill(fill);
        const bool there = codes[i] == 1;
        answer.codes.push_back(static_cast<PageCode>(codes[i]));
        answer.encodings.push_back(there ? Encoding::kRaw : Encoding::kUnset);
        answer.lengths.push_back(there ? kPageBytes : 0);
        answer.checksums.push_back(PageChecksum(kSpace, extent.offset + k, {1, 2}, page));
        answer.stamp_tokens.push_back(1);
        answer.stamp_sequences.push_back(2);
        if (std::ranges::find(damaged, i) != damaged.end()) {
          page[77] ^= std::byte{4};
        }
        if (there) {
          pages.insert(pages.end(), page.begin(), page.end());
        }
      }
    }
    answer.pages = pages;
    request.owner->OnAnswer(request, answer);
  }

  ManualExecutor clock_;
  ManualSink sink_;
  RequestPool pool_{64};
  CallContext context_{clock_, sink_, pool_, kSpace, 64, seconds(60)};
  std::vector<std::byte> bytes_;
  std::vector<std::unique_ptr<Held>> held_;
  int finished_ = 0;
};

TEST_F(CallTest, ALongStoreKeepsABoundedNumberOfBatchesUnderWay) {
  const auto result = BeginStore({{0, 20000}});
  size_t batches = 0;
  while (!sink_.pending.empty()) {
    EXPECT_LE(sink_.pending.size(), Call::kBatchesMax);
    AnswerStore(std::string(sink_.pending.front()->pages, '\1'));
    ++batches;
  }
  EXPECT_EQ(finished_, 1);
  EXPECT_EQ(batches, 40u);
  EXPECT_TRUE(result->AllOk());
  EXPECT_EQ(result->codes.size(), 20000u);
}

TEST_F(CallTest, WithFewRequestsTheCallGoesOnWithItsOwn) {
  std::vector<Request*> taken;
  while (Request* request = pool_.TryTake()) {
    taken.push_back(request);
  }
  pool_.PutBack(*taken.back());
  taken.pop_back();
  const PagesResult* result = BeginStore({{0, 5000}});
  while (!sink_.pending.empty()) {
    EXPECT_EQ(sink_.pending.size(), 1u);
    AnswerStore(std::string(sink_.pending.front()->pages, '\1'));
  }
  EXPECT_EQ(finished_, 1);
  EXPECT_TRUE(result->AllOk());
  for (Request* request : taken) {
    pool_.PutBack(*request);
  }
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
  EXPECT_EQ(ExtentsOf(*sink_.pending[0]), (std::vector<Extent>{{1, 1}, {3, 1}}));
  EXPECT_GT(sink_.pending[0]->not_before, clock_.Now());
  EXPECT_EQ(sink_.pending[0]->PageAt(sink_.pending[0]->pieces[1].page),
            bytes_.data() + 3 * kPageBytes);
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
  AnswerStore(std::string(sink_.pending.front()->pages, '\1'));
  for (size_t i = 0; i < Call::kBatchesMax; ++i) {
    Refuse(status);
  }
  EXPECT_TRUE(sink_.pending.empty());
  EXPECT_EQ(finished_, 1);
  EXPECT_EQ(result->status, status);
  EXPECT_EQ(std::ranges::count(result->codes, PageCode::kOk), ptrdiff_t{kBatchPagesMax});
  EXPECT_EQ(std::ranges::count(result->codes, PageCode::kUnavailable), 20000 - ptrdiff_t{kBatchPagesMax});
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
  EXPECT_EQ(ExtentsOf(*sink_.pending[0]), (std::vector<Extent>{{6, 1}}));
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
  const PageRange range{kStripePages - 10, 2 * kStripePages};
  Held& held = Hold({range});
  auto call = std::make_unique<ExtentsCall>(context_, held.ranges, held);
  ExtentsCall& extents = *call;
  held.call = std::move(call);
  Begin(held);
  ASSERT_EQ(sink_.pending.size(), 3u);
  while (!sink_.pending.empty()) {
    // The last one first.
    std::swap(sink_.pending.front(), sink_.pending.back());
    Request& request = sink_.Pop();
    ASSERT_EQ(request.pieces.size(), 1u);
    const Extent extent = request.pieces.front().extent;
    Answer answer;
    answer.kind = RequestKind::kExtents;
    v1::BackingRun* run = answer.extents.add_runs();
    run->set_pages(extent.pages - 1);
    run->set_kind(v1::BACKING_KIND_NONE);
    run = answer.extents.add_runs();
    run->set_pages(1);
    run->set_kind(extent.offset == range.offset ? v1::BACKING_KIND_NONE
                                                : v1::BACKING_KIND_PHYSICAL);
    request.owner->OnAnswer(request, answer);
  }
  EXPECT_EQ(finished_, 1);
  ASSERT_TRUE(extents.status().ok());
  const SwapClient::Runs expected{{10 + kStripePages - 1, BackingKind::kNone},
                                  {1, BackingKind::kPhysical},
                                  {kStripePages - 11, BackingKind::kNone},
                                  {1, BackingKind::kPhysical}};
  EXPECT_EQ(extents.TakeRuns(), expected);
}

}  // namespace
}  // namespace vswap::client
