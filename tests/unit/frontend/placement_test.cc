#include "services/frontend/placement.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/memory_node.h"

namespace vswap {
namespace {

class PlacementTest : public testing::Test {
 protected:
  // Nodes 1..count of the compressed tier, each with a set of its own.
  void AddNodes(NodeId count) {
    for (NodeId id = 1; id <= count; ++id) {
      placement_.AddNode({id, Tier::kCompressed, "c" + std::to_string(id), id * 10, &node_});
      placement_.AddSet(static_cast<SetId>(id), Tier::kCompressed, {id});
    }
  }
  // The sets that a hundred pages get.
  std::set<SetId> Chosen(const std::vector<SetId>& tried = {}) {
    std::set<SetId> sets;
    for (int i = 0; i < 100; ++i) {
      sets.insert(placement_.Choose(Tier::kCompressed, tried).value_or(0));
    }
    return sets;
  }

  MemoryNode node_{{}};
  Placement placement_;
};

TEST_F(PlacementTest, NewPagesGoToTheEmptiestInTurn) {
  AddNodes(3);
  EXPECT_EQ(Chosen(), (std::set<SetId>{1, 2, 3}));
  placement_.Find(1)->fill = 0.9;
  EXPECT_EQ(Chosen(), (std::set<SetId>{2, 3}));
  placement_.Find(2)->fill = 0.01;  // not a difference to go by
  EXPECT_EQ(Chosen(), (std::set<SetId>{2, 3}));
  EXPECT_EQ(Chosen({2, 3}), (std::set<SetId>{1}));
  EXPECT_EQ(Chosen({1, 2, 3}), (std::set<SetId>{0}));
  EXPECT_FALSE(placement_.Choose(Tier::kPhysical));
}

TEST_F(PlacementTest, ANodeThatDoesNotAnswerComesLast) {
  AddNodes(2);
  placement_.Find(1)->answers = false;
  placement_.Find(2)->fill = 0.99;
  EXPECT_EQ(Chosen(), (std::set<SetId>{2}));
  EXPECT_EQ(Chosen({2}), (std::set<SetId>{1}));
}

TEST_F(PlacementTest, WhatWasReadStaysValidWhileOthersJoin) {
  AddNodes(1);
  const auto& nodes = placement_.NodesOf(1);
  const Placement::Member* const first = placement_.Find(1);
  AddNodes(50);
  EXPECT_EQ(nodes.front(), first);
  EXPECT_EQ(placement_.NodesOf(1).front(), first);
  placement_.AddNode({1, Tier::kCompressed, "c1", 11, &node_});  // it came back empty
  EXPECT_EQ(first->incarnation, 11u);
  EXPECT_EQ(placement_.Members().size(), 50u);
  EXPECT_EQ(placement_.SetsWith(7), (std::vector<SetId>{7}));
  EXPECT_TRUE(placement_.NodesOf(99).empty());
  EXPECT_EQ(placement_.Find(99), nullptr);
}

}  // namespace
}  // namespace vswap
