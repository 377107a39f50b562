#include "services/frontend/writeback.h"

#include "tests/support/front_end_setup.h"

namespace vswap {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kCompressedPages = 100;

FrontEndSetup::Options Limits(uint64_t physical_pages) {
  return {.compressed_pages = kCompressedPages,
          .physical_pages = physical_pages,
          .writeback = Writeback::Options{
              .start = 0.9, .end = 0.8, .interval = milliseconds(100), .sleep_max = seconds(2)}};
}

class WritebackTest : public testing::Test {
 protected:
  explicit WritebackTest(uint64_t physical_pages = 1000) : setup_(Limits(physical_pages)) {}

  // Offsets of one shard.
  void Store(Offset begin, Offset end) {
    for (Offset offset = begin; offset < end; ++offset) {
      ASSERT_EQ(setup_.StoreOne(client_, offset, Shrinking(offset)), PageCode::kOk);
    }
  }
  void Free(Offset begin, Offset end) {
    EXPECT_TRUE(setup_.Free(client_, {begin, static_cast<uint32_t>(end - begin)}).status.ok());
    setup_.executor.RunReady();
  }
  std::vector<Offset> Physical(Offset end) {
    std::vector<Offset> offsets;
    for (Offset offset = 0; offset < end; ++offset) {
      if (setup_.EntryAt(client_, offset).word.kind() == Backing::kPhysical) {
        offsets.push_back(offset);
      }
    }
    return offsets;
  }
  void ExpectRight(Offset begin, Offset end) {
    for (Offset offset = begin; offset < end; ++offset) {
      EXPECT_EQ(setup_.LoadOne(client_, offset), Shrinking(offset)) << offset;
    }
  }
  const FrontEndCounters& counters() { return setup_.front_end().counters(); }

  FrontEndSetup setup_;
  FrontEndClient client_ = setup_.Open();
};

TEST_F(WritebackTest, TheColdestPagesMakeRoom) {
  Store(0, 90);
  setup_.executor.Advance(seconds(1));
  EXPECT_TRUE(setup_.physical.Names().empty());  // not fuller than the start
  Store(90, 95);
  ExpectRight(0, 5);
  setup_.executor.Advance(milliseconds(100));
  EXPECT_EQ(Physical(100),
            (std::vector<Offset>{5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}));
  EXPECT_EQ(counters().written_back, 15u);
  EXPECT_EQ(setup_.compressed.Names().size(), 80u);
  setup_.executor.Advance(seconds(1));
  EXPECT_EQ(counters().written_back, 15u);
  // Loaded long ago is cold.
  Store(100, 115);
  setup_.executor.Advance(milliseconds(100));
  EXPECT_EQ(setup_.EntryAt(client_, 0).word.kind(), Backing::kPhysical);
  ExpectRight(0, 95);
  ExpectRight(100, 115);
  EXPECT_EQ(counters().writeback_sleeps, 0u);
}

TEST_F(WritebackTest, APrefetchOrAMoveDoesNotMakeAPageWarm) {
  Store(0, 95);
  LoadCall call{client_.Next(0), {{0, 5}}};
  call.header.lane = Lane::kPrefetch;
  ASSERT_TRUE(setup_.BeginLoad(call)->has_value());
  setup_.executor.Advance(milliseconds(100));
  EXPECT_EQ(Physical(95).front(), 0u);
}

class WritebackToAFullStoreTest : public WritebackTest {
 protected:
  WritebackToAFullStoreTest() : WritebackTest(3) {}
};

TEST_F(WritebackToAFullStoreTest, ItSleepsUntilThereIsRoom) {
  Store(0, 100);
  setup_.executor.Advance(milliseconds(100));
  EXPECT_EQ(Physical(100), (std::vector<Offset>{0, 1, 2}));
  setup_.held_physical.Hold(HeldNode::kPut);
  setup_.held_compressed.Hold(HeldNode::kGet);
  setup_.executor.Advance(seconds(60));
  EXPECT_EQ(setup_.held_physical.held() + setup_.held_compressed.held(), 0u);  // nothing is copied
  EXPECT_GE(counters().writeback_sleeps, 30u);
  EXPECT_LE(counters().writeback_sleeps, 40u);
  setup_.held_physical.LetGo();
  setup_.held_compressed.LetGo();
  Free(1, 2);
  setup_.executor.Advance(seconds(2));
  EXPECT_EQ(Physical(100), (std::vector<Offset>{0, 2, 3}));
  ExpectRight(2, 100);
}

TEST_F(WritebackTest, AStoreThatCannotBeReachedLeavesEverythingWhereItIs) {
  Store(0, 95);
  setup_.physical.faults().put.FailAfterEffect(1000);
  setup_.executor.Advance(seconds(10));
  EXPECT_TRUE(Physical(95).empty());
  EXPECT_LE(counters().writeback_sleeps, 15u);
  setup_.physical.faults().put.Clear();
  setup_.Settle();
  setup_.executor.Advance(seconds(2));
  EXPECT_EQ(Physical(95).size(), 15u);
  EXPECT_EQ(setup_.physical.Names().size(), 15u);  // no litter
  ExpectRight(0, 95);
}

TEST_F(WritebackTest, ItEndsWithTheService) {
  Store(0, 95);
  setup_.front_end().Stop();
  setup_.executor.Advance(seconds(10));
  EXPECT_TRUE(setup_.physical.Names().empty());
}

}  // namespace
}  // namespace vswap
