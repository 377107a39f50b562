#include "services/frontend/cluster_report.h"

#include <gtest/gtest.h>

#include <string>

#include "services/cluster/registry.h"
#include "tests/support/memory_coordinator.h"
#include "tests/support/memory_node.h"

namespace vswap {
namespace {

class DrainTest : public testing::Test {
 protected:
  DrainTest() {
    placement_.AddNode({1, Tier::kPhysical, "store-1", 11, &node_});
    v1::NodeRecord record;
    record.set_node(1);
    record.set_name("store-1");
    record.set_incarnation(11);
    Put(record);
  }
  void Put(const v1::NodeRecord& record) {
    coordinator_.Commit({{}, {{NumberedKey("nodes", 1), record.SerializeAsString()}}, {}},
                        [](const StatusOr<TransactionReply>&) {});
  }
  Status Change(v1::DrainAction action, uint64_t rate = 0, const std::string& name = "store-1") {
    v1::DrainRequest request;
    request.set_node(name);
    request.set_action(action);
    request.set_pages_per_second(rate);
    return ChangeDrain(placement_, coordinator_, request);
  }
  v1::NodeRecord Record() { return FindNode(coordinator_, "store-1")->value(); }

  MemoryNode node_{{.incarnation = 11}};
  Placement placement_;
  MemoryCoordinator coordinator_;
};

TEST_F(DrainTest, BeginsPausesResumesAndIsCancelled) {
  ASSERT_TRUE(Change(v1::DRAIN_ACTION_START, 50).ok());
  EXPECT_TRUE(Record().draining());
  EXPECT_EQ(Record().drain_pages_per_second(), 50u);
  ASSERT_TRUE(Change(v1::DRAIN_ACTION_PAUSE).ok());
  EXPECT_TRUE(Record().draining());
  EXPECT_TRUE(Record().drain_paused());
  EXPECT_EQ(Record().drain_pages_per_second(), 50u);
  ASSERT_TRUE(Change(v1::DRAIN_ACTION_RESUME).ok());
  EXPECT_FALSE(Record().drain_paused());
  // Another rate, and it goes on where it was paused.
  ASSERT_TRUE(Change(v1::DRAIN_ACTION_PAUSE).ok());
  ASSERT_TRUE(Change(v1::DRAIN_ACTION_START, 70).ok());
  EXPECT_FALSE(Record().drain_paused());
  EXPECT_EQ(Record().drain_pages_per_second(), 70u);
  ASSERT_TRUE(Change(v1::DRAIN_ACTION_CANCEL).ok());
  EXPECT_FALSE(Record().draining());
  EXPECT_EQ(Record().drain_pages_per_second(), 0u);
}

TEST_F(DrainTest, TellsWhatItDoesNotDo) {
  for (const auto action :
       {v1::DRAIN_ACTION_PAUSE, v1::DRAIN_ACTION_RESUME, v1::DRAIN_ACTION_CANCEL}) {
    const Status status = Change(action);
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(MessageOf(status), "node: store-1 does not drain");
  }
  EXPECT_EQ(Change(v1::DRAIN_ACTION_UNSPECIFIED).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Change(v1::DRAIN_ACTION_START, 0, "store-2").code(), StatusCode::kNotFound);
  v1::NodeRecord left = Record();
  left.set_left(true);
  Put(left);
  EXPECT_EQ(MessageOf(Change(v1::DRAIN_ACTION_START)), "node: store-1 has left");
  EXPECT_FALSE(Record().draining());
}

}  // namespace
}  // namespace vswap
