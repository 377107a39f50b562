#include "services/cluster/registry.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

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
  coordinator_.Commit({{}, {{NumberedKey("nodes", node.node()), node.SerializeAsString()}}, {}},
                      [](const StatusOr<TransactionReply>&) {});
  EXPECT_TRUE(Register("a", 11, "m1").draining());
  Register("b", 12, "m2");
  EXPECT_EQ(Sets(), SetList());
}

}  // namespace
}  // namespace vswap
