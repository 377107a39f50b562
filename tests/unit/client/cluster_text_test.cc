#include "client/ctl/cluster_text.h"

#include <gtest/gtest.h>

#include "client/ctl/status_text.h"

namespace vswap {
namespace {

class ClusterTextTest : public testing::Test {
 protected:
  ClusterTextTest() {
    for (const char* const name : {"store-1", "store-2"}) {
      v1::NodeRecord& node = *cluster_.add_nodes();
      node.set_node(static_cast<uint32_t>(cluster_.nodes_size()));
      node.set_tier(v1::TIER_PHYSICAL);
      node.set_name(name);
      node.set_machine("m");
      node.set_incarnation(node.node() * 10);
      v1::NodeStatus& status = *cluster_.add_statuses();
      status.set_node(node.node());
      status.set_incarnation(node.incarnation());
      status.set_pages(100);
      status.set_pages_capacity(400);
    }
    v1::ShardRecord& shard = (*cluster_.mutable_shards())[7];
    shard.set_owner("frontend-1");
    shard.set_owner_process(5);
    shard.set_epoch(3);
    for (const uint32_t node : {1, 2}) {
      v1::LogReplica& replica = *shard.add_replicas();
      replica.set_node(node);
      replica.set_full(node == 1);
    }
    v1::FrontEndRecord& front_end = *cluster_.add_front_ends();
    front_end.set_name("frontend-1");
    front_end.set_process(5);
  }
  Job OnlyJob() {
    const std::vector<Job> jobs = JobsOf(cluster_, front_ends_);
    EXPECT_EQ(jobs.size(), 1u);
    return jobs.empty() ? Job() : jobs.front();
  }
  v1::NodeRecord& First() { return *cluster_.mutable_nodes(0); }

  v1::GetClusterResponse cluster_;
  std::vector<v1::GetStatusResponse> front_ends_{2};
};

TEST_F(ClusterTextTest, NodesAreToldAsTheyAre) {
  First().set_draining(true);
  cluster_.mutable_statuses()->RemoveLast();
  EXPECT_EQ(NodesAsTable(cluster_),
            "NODE         TIER     STATE  MACHINE  ZONE  PAGES  FULL  LOGS  ADDRESS\n"
            "store-1  physical  draining        m     -    100  25 %     1        -\n"
            "store-2  physical    silent        m     -      ?     ?     1        -\n");
}

TEST_F(ClusterTextTest, ShardsTellTheirOwnersAndLogs) {
  EXPECT_EQ(ShardsAsTable(cluster_),
            "SHARD       OWNER  EPOCH                LOG REPLICAS\n"
            "7      frontend-1      3  store-1, store-2 (filling)\n");
  cluster_.mutable_front_ends(0)->set_process(6);
  EXPECT_NE(ShardsAsTable(cluster_).find("frontend-1 (dead)"), std::string::npos);
  // Its store came back empty; the other does not answer.
  (*cluster_.mutable_shards())[7].mutable_replicas(0)->set_incarnation(9);
  cluster_.mutable_statuses()->RemoveLast();
  EXPECT_NE(ShardsAsTable(cluster_).find("store-1 (gone), store-2 (silent)"), std::string::npos);
}

TEST_F(ClusterTextTest, AShardsOwnerHasAnAddressWhileItLives) {
  cluster_.mutable_front_ends(0)->set_address("h:1");
  EXPECT_EQ(OwnerAddress(cluster_, 7), "h:1");
  EXPECT_EQ(OwnerAddress(cluster_, 8), "");
  cluster_.mutable_front_ends(0)->set_process(6);
  EXPECT_EQ(OwnerAddress(cluster_, 7), "");
}

TEST_F(ClusterTextTest, ADrainRunsWaitsPausesAndEnds) {
  EXPECT_TRUE(JobsOf(cluster_, front_ends_).empty());
  First().set_draining(true);
  First().set_drain_pages(150);
  front_ends_[1].set_degraded_pages(100);
  EXPECT_EQ(OnlyJob().name, "drain store-1");
  EXPECT_EQ(OnlyJob().state, "running");
  EXPECT_EQ(OnlyJob().pages_left, 100u);
  EXPECT_EQ(OnlyJob().pages_total, 150u);
  EXPECT_EQ(OnlyJob().log_replicas_left, 1u);
  front_ends_[0].set_waits_for("room");
  EXPECT_EQ(OnlyJob().state, "waiting");
  EXPECT_EQ(OnlyJob().waits_for, "room");
  cluster_.mutable_statuses(0)->set_pages(0);
  EXPECT_EQ(OnlyJob().state, "waiting");  // for the table log
  (*cluster_.mutable_shards())[7].mutable_replicas()->DeleteSubrange(0, 1);
  front_ends_[1].set_degraded_pages(0);
  EXPECT_EQ(OnlyJob().state, "done");
  First().set_drain_paused(true);
  EXPECT_EQ(OnlyJob().state, "paused");
}

TEST_F(ClusterTextTest, PagesWithTooFewCopiesAreAJobOfTheirOwn) {
  front_ends_[0].set_degraded_pages(3);
  front_ends_[1].set_degraded_pages(4);
  EXPECT_EQ(OnlyJob().name, "rebuild");
  EXPECT_EQ(OnlyJob().state, "running");
  EXPECT_EQ(OnlyJob().pages_left, 7u);
}

TEST_F(ClusterTextTest, RedundancyIsFullIfAllShardsAreServedAndNothingIsMissing) {
  const auto text = [this] { return RedundancyAsText(RedundancyOf(cluster_, front_ends_)); };
  cluster_.mutable_cluster()->set_shard_count(8);
  for (uint32_t shard = 0; shard < 8; ++shard) {
    front_ends_[shard / 5].add_shards(shard);
  }
  EXPECT_EQ(text(), "redundancy: full\n");
  front_ends_[1].set_degraded_pages(7);
  front_ends_[1].set_waits_for("room");
  EXPECT_EQ(text(),
            "redundancy: 0 of 8 shards not served, 0 with too few table logs; 7 pages with too few "
            "copies; waits for room\n");
  front_ends_[0].set_comparisons_due(2);
  front_ends_[1].set_degraded_pages(0);
  front_ends_[1].clear_waits_for();
  EXPECT_EQ(text(),
            "redundancy: 0 of 8 shards not served, 0 with too few table logs; 0 pages with too few "
            "copies; 2 comparisons of tables with nodes to come\n");
  front_ends_[0].set_comparisons_due(0);
  // One that has changed hands was told of by both, and another one by nobody.
  front_ends_[1].set_shards(2, 4);
  EXPECT_EQ(text().substr(0, 34), "redundancy: 1 of 8 shards not serv");
  front_ends_[1].Clear();  // it does not answer
  front_ends_[0].set_degraded_shards(2);
  EXPECT_EQ(text(),
            "redundancy: 3 of 8 shards not served, 2 with too few table logs; 0 pages with too few "
            "copies\n");
}

TEST_F(ClusterTextTest, AStatusTellsTheRedundancyInALineOfItsOwn) {
  const std::string known = ToTables(front_ends_[0], RedundancyOf(cluster_, front_ends_));
  EXPECT_NE(known.find("\nredundancy: full\n"), std::string::npos) << known;
  const std::string unknown = ToTables(front_ends_[0], std::nullopt);
  EXPECT_NE(unknown.find("\nredundancy: not known"), std::string::npos) << unknown;
  EXPECT_NE(ToJson(front_ends_[0], RedundancyOf(cluster_, front_ends_)).find("\"full\": true"),
            std::string::npos);
  EXPECT_NE(ToJson(front_ends_[0], std::nullopt).find("\"redundancy\": null"), std::string::npos);
}

TEST_F(ClusterTextTest, ASpacesPagesAreTheSumOverAllFrontEnds) {
  for (v1::GetStatusResponse& front_end : front_ends_) {
    v1::SpaceStatus& space = *front_end.add_spaces();
    space.set_name("a");
    space.set_pages(1000);
    space.set_zero_pages(10);
    space.set_physical_bytes(4096);
  }
  const v1::GetStatusResponse sum = Sum(front_ends_);
  ASSERT_EQ(sum.spaces_size(), 1);
  EXPECT_EQ(sum.spaces(0).pages(), 1000u);
  EXPECT_EQ(sum.spaces(0).zero_pages(), 20u);
  EXPECT_EQ(sum.spaces(0).physical_bytes(), 8192u);
}

}  // namespace
}  // namespace vswap
