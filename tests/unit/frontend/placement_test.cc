#include "services/frontend/placement.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

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

  // The part of the pages that each set gets.
  void ExpectShares(const std::map<SetId, double>& shares) {
    constexpr int kPages = 10000;
    std::map<SetId, int> counts;
    for (int i = 0; i < kPages; ++i) {
      ++counts[placement_.Choose(Tier::kCompressed).value_or(0)];
    }
    for (const auto& [set, share] : shares) {
      EXPECT_NEAR(static_cast<double>(counts[set]) / kPages, share, 0.01) << "set " << set;
    }
  }

  MemoryNode node_{{}};
  Placement placement_;
};

TEST_F(PlacementTest, NodesTakePagesInTurnByTheirRoom) {
  AddNodes(3);
  ExpectShares({{1, 1.0 / 3}, {2, 1.0 / 3}, {3, 1.0 / 3}});
  placement_.Find(1)->fill = 0.45;
  ExpectShares({{1, 0.2}, {2, 0.4}, {3, 0.4}});
  EXPECT_EQ(Chosen({2, 3}), (std::set<SetId>{1}));
  EXPECT_EQ(Chosen({1, 2, 3}), (std::set<SetId>{0}));
  EXPECT_FALSE(placement_.Choose(Tier::kPhysical));
}

TEST_F(PlacementTest, ANodeThatComesEmptyGetsTwiceTheShareOfOthers) {
  AddNodes(3);
  placement_.Find(1)->fill = placement_.Find(2)->fill = 0.8;
  ExpectShares({{1, 0.25}, {2, 0.25}, {3, 0.5}});
  // But where they would have to write back, all of it.
  placement_.Find(1)->fill = placement_.Find(2)->fill = 0.92;
  EXPECT_EQ(Chosen(), (std::set<SetId>{3}));
}

TEST_F(PlacementTest, WhereAllAreNearlyFullTheEmptiestTakeThePages) {
  AddNodes(3);
  placement_.Find(1)->fill = 0.99;
  placement_.Find(2)->fill = 0.94;
  placement_.Find(3)->fill = 0.95;  // not a difference to go by
  EXPECT_EQ(Chosen(), (std::set<SetId>{2, 3}));
}

TEST_F(PlacementTest, ASlowNodeGetsFewPages) {
  AddNodes(2);
  placement_.Find(1)->puts.Note(std::chrono::milliseconds(1));
  placement_.Find(2)->puts.Note(std::chrono::milliseconds(4));  // as slow as others often are
  ExpectShares({{1, 0.5}, {2, 0.5}});
  placement_.Find(1)->puts.Note(std::chrono::milliseconds(1));
  for (int i = 0; i < 100; ++i) {
    placement_.Find(2)->puts.Note(std::chrono::milliseconds(20));
  }
  ExpectShares({{1, 0.8}, {2, 0.2}});
  for (int i = 0; i < 100; ++i) {
    placement_.Find(2)->puts.Note(std::chrono::seconds(5));
  }
  ExpectShares({{1, 8.0 / 9}, {2, 1.0 / 9}});  // enough to be measured again
}

TEST_F(PlacementTest, ANodeThatWasNotMeasuredIsNotTheFastest) {
  AddNodes(3);
  placement_.Find(1)->puts.Note(std::chrono::milliseconds(40));
  placement_.Find(2)->puts.Note(std::chrono::milliseconds(40));
  ExpectShares({{1, 1.0 / 3}, {2, 1.0 / 3}, {3, 1.0 / 3}});
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
  const auto& copies = placement_.CopiesOf(1);
  const Placement::Member* const first = placement_.Find(1);
  AddNodes(50);
  EXPECT_EQ(copies.front().member, first);
  EXPECT_EQ(placement_.CopiesOf(1).front().member, first);
  placement_.AddNode({1, Tier::kCompressed, "c1", 11, &node_});  // it came back empty
  EXPECT_EQ(first->incarnation, 11u);
  EXPECT_EQ(placement_.Members().size(), 50u);
  EXPECT_EQ(placement_.SetsWith(7), (std::vector<SetId>{7}));
  EXPECT_TRUE(placement_.CopiesOf(99).empty());
  EXPECT_EQ(placement_.Find(99), nullptr);
}

// Three nodes with a set of each alone and of each two.
class SharedSetsTest : public PlacementTest {
 protected:
  SharedSetsTest() {
    AddNodes(3);
    placement_.AddSet(12, Tier::kCompressed, {1, 2}, {10, 20});
    placement_.AddSet(23, Tier::kCompressed, {2, 3}, {20, 30});
    placement_.AddSet(31, Tier::kCompressed, {3, 1}, {30, 10});
    placement_.Want(Tier::kCompressed, 2);
  }
  void Tell(NodeId node, Incarnation incarnation, bool draining = false) {
    placement_.AddNode(
        {node, Tier::kCompressed, "c" + std::to_string(node), incarnation, &node_, draining});
  }
};

TEST_F(SharedSetsTest, PagesGoToSetsWithAsManyCopiesAsAreWanted) {
  EXPECT_EQ(Chosen(), (std::set<SetId>{12, 23, 31}));
  EXPECT_EQ(placement_.DegradedSets(), (std::vector<SetId>{1, 2, 3}));
  EXPECT_TRUE(placement_.ChooseBetter(1).has_value());
  EXPECT_FALSE(placement_.ChooseBetter(12).has_value());
}

TEST_F(SharedSetsTest, WhereANodeIsSilentOthersTakeThePagesFirst) {
  placement_.Find(1)->answers = false;
  EXPECT_EQ(Chosen(), (std::set<SetId>{23}));
  EXPECT_EQ(Chosen({23}), (std::set<SetId>{2, 3}));
  // It may be back in a moment: what it has counts.
  EXPECT_EQ(placement_.LastingCopies(12), 2u);
  placement_.Find(1)->dead = true;
  EXPECT_EQ(placement_.LastingCopies(12), 1u);
  EXPECT_EQ(placement_.ChooseBetter(12), 23);
  EXPECT_EQ(placement_.ChooseBetter(1), 23);
}

TEST_F(SharedSetsTest, ASetWithADestroyedCopyTakesNoMorePages) {
  Tell(1, 11);
  EXPECT_EQ(Chosen(), (std::set<SetId>{23}));
  EXPECT_EQ(placement_.LastingCopies(12), 1u);
  EXPECT_EQ(placement_.ChooseBetter(12), 23);
  EXPECT_EQ(placement_.SetsWith(1), (std::vector<SetId>{1}));
  EXPECT_FALSE(placement_.CopiesOf(12)[0].IsFrom(10));
  EXPECT_FALSE(placement_.CopiesOf(12)[0].IsFrom(11));
  EXPECT_TRUE(placement_.CopiesOf(12)[1].IsFrom(20));
  placement_.AddSet(41, Tier::kCompressed, {1, 3}, {11, 30});
  EXPECT_EQ(Chosen(), (std::set<SetId>{23, 41}));
}

TEST_F(SharedSetsTest, ANodeThatDrainsLosesItsPagesWithoutLossOfCopies) {
  Tell(1, 10, true);
  EXPECT_EQ(Chosen(), (std::set<SetId>{23}));
  EXPECT_EQ(placement_.ChooseBetter(12), 23);
  EXPECT_EQ(placement_.ChooseBetter(1), 23);
  // With nothing as good, a page stays; one that has no lasting copy goes anywhere.
  Tell(2, 20, true);
  EXPECT_FALSE(placement_.ChooseBetter(23).has_value());
  EXPECT_TRUE(placement_.ChooseBetter(12).has_value());
}

TEST_F(SharedSetsTest, ANodeThatLeftCountsForNothingUntilItIsBack) {
  const Placement::NodeInfo node = {1, Tier::kCompressed, "c1", 10, &node_};
  Placement::NodeInfo left = node;
  left.left = true;
  placement_.AddNode(left);
  EXPECT_EQ(placement_.Members().size(), 2u);
  EXPECT_EQ(Chosen(), (std::set<SetId>{23}));
  EXPECT_FALSE(placement_.Choose(Tier::kCompressed, std::vector<SetId>{23, 2, 3}).has_value());
  EXPECT_EQ(placement_.LastingCopies(12), 1u);
  EXPECT_FALSE(placement_.OnlyDrains(12));
  EXPECT_EQ(placement_.ChooseBetter(12), 23);
  // A page that is there after all is asked for, of others first.
  uint32_t asked = 0;
  EXPECT_EQ(NextCopy(placement_.CopiesOf(12), 0, &asked)->member->id, 2u);
  EXPECT_EQ(NextCopy(placement_.CopiesOf(12), 0, &asked)->member->id, 1u);
  placement_.AddNode(node);
  EXPECT_EQ(placement_.Members().size(), 3u);
  EXPECT_EQ(Chosen(), (std::set<SetId>{12, 23, 31}));
}

}  // namespace
}  // namespace vswap
