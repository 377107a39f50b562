#include "services/cluster/registry.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "services/cluster/set_rules.h"
#include "services/common/thread_pool.h"
#include "tests/support/faulty_coordinator.h"
#include "tests/support/memory_coordinator.h"

namespace vswap {
namespace {

using SetList = std::vector<std::set<std::string>>;

class RegistryTest : public testing::Test {
 protected:
  v1::NodeRecord Register(const std::string& name, Incarnation incarnation,
                          const std::string& machine, const std::string& zone = "") {
    v1::NodeRecord node;
    node.set_tier(v1::TIER_COMPRESSED);
    node.set_name(name);
    node.set_machine(machine);
    node.set_zone(zone);
    node.set_incarnation(incarnation);
    const auto registered = RegisterNode(coordinator_, node);
    EXPECT_TRUE(registered.ok()) << registered.status();
    const Status joined = JoinSets(coordinator_, *registered, 2);
    EXPECT_TRUE(joined.ok()) << joined;
    return *registered;
  }
  // Those of several nodes, as they were made: "node@incarnation" each.
  SetList Sets() {
    SetList sets;
    coordinator_.List("sets/", [&](const StatusOr<std::vector<KeyValue>>& found) {
      for (const KeyValue& entry : *found) {
        v1::SetRecord record;
        EXPECT_TRUE(record.ParseFromString(entry.value));
        std::set<std::string>& set = sets.emplace_back();
        for (int i = 0; i < record.nodes_size() && i < record.incarnations_size(); ++i) {
          set.insert(std::to_string(record.nodes(i)) + "@" +
                     std::to_string(record.incarnations(i)));
        }
      }
    });
    std::erase_if(sets, [](const auto& set) { return set.empty(); });
    return sets;
  }

  void Write(const v1::NodeRecord& node) {
    coordinator_.Commit({{}, {{NumberedKey("nodes", node.node()), node.SerializeAsString()}}, {}},
                        [](const StatusOr<TransactionReply>&) {});
  }

  MemoryCoordinator coordinator_;
};

TEST_F(RegistryTest, NodesFormSetsOverMachinesAsTheyJoin) {
  Register("a", 11, "m1");
  EXPECT_EQ(Sets(), SetList());
  Register("b", 12, "m2");
  EXPECT_EQ(Sets(), (SetList{{"1@11", "2@12"}}));
  Register("c", 13, "m3");
  EXPECT_EQ(Sets(), (SetList{{"1@11", "2@12"}, {"1@11", "3@13"}, {"2@12", "3@13"}}));
  // Every one has two: a fourth joins those with the fewest, and no set is made twice.
  Register("d", 14, "m4");
  EXPECT_EQ(Sets().size(), 5u);
  Register("d", 14, "m4");  // started again on its data
  EXPECT_EQ(Sets().size(), 5u);
}

TEST_F(RegistryTest, ANodeThatComesBackEmptyFormsNewSets) {
  Register("a", 11, "m1");
  Register("b", 12, "m2");
  Register("a", 21, "m1");
  EXPECT_EQ(Sets(), (SetList{{"1@11", "2@12"}, {"1@21", "2@12"}}));
}

TEST_F(RegistryTest, ASetIsOnDifferentMachinesAndRatherInDifferentZones) {
  Register("a", 11, "m1", "z1");
  Register("b", 12, "m1", "z2");
  EXPECT_EQ(Sets(), SetList());
  Register("c", 13, "m2", "z1");
  // Both others are on another machine; the one in another zone comes first.
  EXPECT_EQ(Sets(), (SetList{{"2@12", "3@13"}, {"1@11", "3@13"}}));
}

TEST_F(RegistryTest, ANodeThatDrainsStaysSoAndJoinsNoMoreSets) {
  v1::NodeRecord node = Register("a", 11, "m1");
  node.set_draining(true);
  Write(node);
  EXPECT_TRUE(Register("a", 11, "m1").draining());
  Register("b", 12, "m2");
  EXPECT_EQ(Sets(), SetList());
}

TEST_F(RegistryTest, AnEmptyNodeDoesNotTakeOverTheDrainOfTheOneThatHadItsName) {
  v1::NodeRecord node = Register("a", 11, "m1");
  node.set_draining(true);
  node.set_drain_paused(true);
  node.set_drain_pages_per_second(5);
  node.set_drain_pages(100);
  Write(node);
  const v1::NodeRecord same = Register("a", 11, "m1");
  EXPECT_TRUE(same.drain_paused());
  EXPECT_EQ(same.drain_pages_per_second(), 5u);
  EXPECT_EQ(same.drain_pages(), 100u);
  const v1::NodeRecord empty = Register("a", 21, "m1");
  EXPECT_FALSE(empty.draining());
  EXPECT_FALSE(empty.drain_paused());
  EXPECT_EQ(empty.drain_pages_per_second(), 0u);
  EXPECT_EQ(empty.drain_pages(), 0u);
  Register("b", 12, "m2");
  EXPECT_EQ(Sets(), (SetList{{"1@21", "2@12"}}));
}

TEST_F(RegistryTest, ANodeThatLeftIsInNoNewSetAndInNobodysWayUntilItRegistersAgain) {
  v1::NodeRecord node = Register("a", 11, "m1");
  Register("b", 12, "m2");
  node.set_left(true);
  Write(node);
  EXPECT_EQ(Register("c", 13, "m3").node(), 3u);  // its number stays taken
  EXPECT_EQ(Sets(), (SetList{{"1@11", "2@12"}, {"2@12", "3@13"}}));
  // Its partner may come to its machine.
  EXPECT_EQ(Register("b", 12, "m1").machine(), "m1");
  const v1::NodeRecord back = Register("a", 11, "m4");
  EXPECT_EQ(back.node(), 1u);
  EXPECT_FALSE(back.left());
  EXPECT_EQ(Sets().size(), 3u);
}

TEST_F(RegistryTest, TheFirstFrontEndWaitsForTheCoordinator) {
  FaultScript faults;
  FaultyCoordinator coordinator(faults, coordinator_);
  faults.Watch();
  faults.Inject(0, Fault::kFailBefore);  // the first look
  faults.Inject(2, Fault::kFailAfter);   // the commit
  SystemRandom random;
  v1::ClusterRecord wanted;
  wanted.set_shard_count(7);
  const auto made = FindOrMakeCluster(coordinator, wanted, random);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->shard_count(), 7u);
  EXPECT_EQ(FindCluster(coordinator_)->cluster(), made->cluster());
}

TEST_F(RegistryTest, ANodeDoesNotComeToTheMachineOfItsPartner) {
  v1::NodeRecord node = Register("a", 11, "m1");
  Register("b", 12, "m2");
  node.set_machine("m2");
  const auto moved = RegisterNode(coordinator_, node);
  EXPECT_EQ(moved.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(MessageOf(moved.status()).find("machine: a and b"), std::string::npos);
  node.set_machine("m3");
  EXPECT_TRUE(RegisterNode(coordinator_, node).ok());
  node.set_machine("m2");
  node.set_incarnation(21);  // empty: it shares nothing
  EXPECT_TRUE(RegisterNode(coordinator_, node).ok());
}

v1::NodeRecord NodeOf(uint32_t id) {
  v1::NodeRecord node;
  node.set_node(id);
  node.set_tier(v1::TIER_COMPRESSED);
  node.set_machine("m" + std::to_string(id));
  node.set_incarnation(id * 10);
  return node;
}

v1::SetRecord SetOf(uint32_t number, std::initializer_list<uint32_t> nodes) {
  v1::SetRecord set;
  set.set_set(number);
  for (const uint32_t id : nodes) {
    set.add_nodes(id);
    set.add_incarnations(id * 10);
  }
  return set;
}

TEST(SetRules, ASetWithANodeThatIsAwayDoesNotCount) {
  const std::vector<v1::SetRecord> sets = {SetOf(1, {1, 2}), SetOf(2, {2, 3}), SetOf(3, {3, 4}),
                                           SetOf(9, {4, 1})};
  const std::vector<v1::NodeRecord> all = {NodeOf(1), NodeOf(2), NodeOf(3), NodeOf(4)};
  EXPECT_FALSE(FindMissingSet(all, sets, NodeOf(1), 2, kSetsOfNewNode));
  // Another partner is left: no set is made for that.
  EXPECT_FALSE(
      FindMissingSet({NodeOf(1), NodeOf(3), NodeOf(4)}, sets, NodeOf(1), 2, kSetsOfOldNode));
  const std::vector<v1::NodeRecord> left = {NodeOf(1), NodeOf(3)};
  const auto missing = FindMissingSet(left, sets, NodeOf(1), 2, kSetsOfOldNode);
  ASSERT_TRUE(missing.has_value());
  EXPECT_EQ(missing->set(), 10u);
  EXPECT_TRUE(IsIn(*missing, NodeOf(1)));
  EXPECT_TRUE(IsIn(*missing, NodeOf(3)));
  EXPECT_FALSE(FindMissingSet(left, {*missing}, NodeOf(1), 2, kSetsOfOldNode));
  EXPECT_FALSE(FindMissingSet(left, sets, NodeOf(2), 2, kSetsOfOldNode));  // itself away
  EXPECT_FALSE(FindMissingSet(left, sets, NodeOf(1), 1, kSetsOfOldNode));
}

TEST(SetRules, WhereMachinesAreMissingASetHasFewerNodesUntilTheyAreThere) {
  const std::vector<v1::SetRecord> sets = {SetOf(1, {1, 2, 3})};
  const std::vector<v1::NodeRecord> all = {NodeOf(1), NodeOf(2), NodeOf(3)};
  EXPECT_FALSE(FindMissingSet(all, sets, NodeOf(1), 3, kSetsOfNewNode));  // there are no others
  const std::vector<v1::NodeRecord> left = {NodeOf(1), NodeOf(3)};
  const auto fewer = FindMissingSet(left, sets, NodeOf(1), 3, kSetsOfOldNode);
  ASSERT_TRUE(fewer.has_value());
  EXPECT_EQ(fewer->nodes_size(), 2);
  const std::vector<v1::SetRecord> both = {sets[0], *fewer};
  EXPECT_FALSE(FindMissingSet(left, both, NodeOf(1), 3, kSetsOfNewNode));
  EXPECT_FALSE(FindMissingSet({NodeOf(1)}, both, NodeOf(1), 3, kSetsOfOldNode));
  const auto whole =
      FindMissingSet({NodeOf(1), NodeOf(3), NodeOf(4)}, both, NodeOf(1), 3, kSetsOfOldNode);
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(whole->nodes_size(), 3);
}

}  // namespace
}  // namespace vswap
