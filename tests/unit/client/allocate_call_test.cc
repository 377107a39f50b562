#include "client/allocate_call.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "services/common/thread_pool.h"

namespace vswap::client {
namespace {

const Status kFull = MakeError(StatusCode::kResourceExhausted, "full");

// Has so many extents left in each shard, and hands out the lowest.
class FewExtents : public RequestSink {
 public:
  void Submit(Request& request) override {
    asked.push_back({request.shard, request.count});
    EXPECT_TRUE(request.pieces.empty());
    Answer answer;
    answer.kind = RequestKind::kAllocate;
    uint64_t& left = room[request.shard];
    if (!failure.ok()) {
      answer.status = failure;
    } else if (left == 0) {
      answer.status = kFull;
    }
    for (uint32_t i = 0; answer.status.ok() && i < request.count && left > 0; ++i, --left) {
      answer.offsets.push_back(next_++ << request.order);
    }
    if (fails_after > 0 && --fails_after == 0) {
      failure = MakeError(StatusCode::kDeadlineExceeded, "slow");
    }
    request.owner->OnAnswer(request, answer);
  }
  struct Asked {
    ShardId shard;
    uint32_t count;
  };
  std::vector<Asked> asked;
  std::map<ShardId, uint64_t> room;
  Status failure;
  int fails_after = 0;

 private:
  Offset next_ = 0;
};

class AllocateCallTest : public testing::Test {
 protected:
  struct Counted : Operation::Finisher {
    void OnFinished() override { ++finished; }
    int finished = 0;
  };

  // The number of extents, or why there are none.
  StatusOr<size_t> Allocate(uint32_t order, uint64_t count) {
    sink_.asked.clear();
    Counted finisher;
    AllocateCall call(context_, ring_, {order, count}, finisher);
    EXPECT_EQ(call.pages(), count << order);
    call.AddRoom(pool_.Take(false));
    call.Start();
    EXPECT_EQ(finisher.finished, 1);
    if (!call.status().ok()) {
      return call.status();
    }
    const std::vector<PageRange> ranges = call.TakeRanges();
    for (const PageRange& range : ranges) {
      EXPECT_EQ(range.pages, uint64_t{1} << order);
    }
    return ranges.size();
  }
  void SetRoom(uint64_t extents) {
    for (size_t i = 0; i < ring_.shards(); ++i) {
      sink_.room[ring_.At(i)] = extents;
    }
  }
  ShardId ShardAt(size_t steps) const { return ring_.At(start_ + steps); }

  ManualExecutor clock_;
  FewExtents sink_;
  RequestPool pool_{2};
  OperationContext context_{clock_, sink_, pool_, 3, 4, std::chrono::seconds(60)};
  ShardRing ring_{3, 1, kSpacePagesMax, 4};
  const size_t start_ = ring_.Current(0);
};

TEST_F(AllocateCallTest, RequestsHaveNoMoreThanTheProtocolAllows) {
  SetRoom(10000);
  EXPECT_EQ(*Allocate(0, 1200), 1200u);
  ASSERT_EQ(sink_.asked.size(), 3u);
  EXPECT_EQ(sink_.asked[0].count, 512u);
  EXPECT_EQ(sink_.asked[2].count, 176u);
  EXPECT_EQ(*Allocate(9, 100), 100u);
  ASSERT_EQ(sink_.asked.size(), 2u);
  EXPECT_EQ(sink_.asked[0].count, 64u);  // 32768 pages
  EXPECT_EQ(sink_.asked[1].count, 36u);
}

TEST_F(AllocateCallTest, StaysInAShardWhileItHasRoomAndThenInTheNext) {
  SetRoom(3);
  EXPECT_EQ(*Allocate(0, 2), 2u);
  EXPECT_EQ(*Allocate(0, 2), 2u);  // one here, one in the next
  ASSERT_EQ(sink_.asked.size(), 2u);
  EXPECT_EQ(sink_.asked[0].shard, ShardAt(0));
  EXPECT_EQ(sink_.asked[1].shard, ShardAt(1));
  EXPECT_EQ(*Allocate(0, 1), 1u);
  ASSERT_EQ(sink_.asked.size(), 1u);
  EXPECT_EQ(sink_.asked[0].shard, ShardAt(1));
  EXPECT_EQ(*Allocate(3, 1), 1u);  // another order has a place of its own
  EXPECT_EQ(sink_.asked[0].shard, ShardAt(0));
}

TEST_F(AllocateCallTest, FewerOnlyWhenAllAreFullAndThenNone) {
  SetRoom(3);
  EXPECT_EQ(*Allocate(0, 100), 12u);
  EXPECT_EQ(sink_.asked.size(), 4u);  // what gives less than asked has no more
  EXPECT_EQ(Allocate(0, 100).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(sink_.asked.size(), 4u);
  sink_.room[ShardAt(2)] = 1;
  EXPECT_EQ(*Allocate(0, 1), 1u);
}

TEST_F(AllocateCallTest, AFailureLosesNothingThatWasHandedOut) {
  SetRoom(600);
  sink_.fails_after = 1;
  EXPECT_EQ(*Allocate(0, 600), 512u);
  EXPECT_EQ(Allocate(0, 1).status().code(), StatusCode::kDeadlineExceeded);
}

TEST_F(AllocateCallTest, AnAnswerThatDoesNotFitIsAnError) {
  struct Liar : RequestSink {
    void Submit(Request& request) override {
      Answer answer;
      answer.kind = RequestKind::kAllocate;
      for (const Offset offset : offsets) {
        answer.offsets.push_back(offset);
      }
      request.owner->OnAnswer(request, answer);
    }
    std::vector<Offset> offsets;
  } liar;
  const OperationContext context{clock_, liar, pool_, 3, 4, std::chrono::seconds(60)};
  for (const std::vector<Offset>& offsets :
       {std::vector<Offset>{}, {0, 4, 8}, {2}, {kSpacePagesMax}}) {
    liar.offsets = offsets;
    Counted finisher;
    AllocateCall call(context, ring_, {2, 2}, finisher);
    call.AddRoom(pool_.Take(false));
    call.Start();
    EXPECT_EQ(call.status().code(), StatusCode::kInternal);
  }
}

}  // namespace
}  // namespace vswap::client
