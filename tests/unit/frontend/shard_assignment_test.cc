#include "services/frontend/shard_assignment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace vswap {
namespace {

using Names = std::vector<std::string>;

size_t Moves(const Names& from, const Names& to) {
  size_t moves = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    moves += !from[i].empty() && from[i] != to[i];
  }
  return moves;
}

void ExpectEven(const Names& owners, const Names& live) {
  std::map<std::string, size_t> counts;
  for (const std::string& name : live) {
    counts[name] = 0;
  }
  for (const std::string& owner : owners) {
    ASSERT_TRUE(counts.contains(owner)) << owner;
    ++counts[owner];
  }
  for (const auto& [name, count] : counts) {
    EXPECT_GE(count, owners.size() / live.size()) << name;
    EXPECT_LE(count, (owners.size() + live.size() - 1) / live.size()) << name;
  }
}

TEST(ShardAssignment, SpreadsEvenlyAndMovesNoMoreThanItMust) {
  Names owners = AssignShards(Names(64), {"a"});
  ExpectEven(owners, {"a"});
  Names next = AssignShards(owners, {"a", "b"});
  ExpectEven(next, {"a", "b"});
  EXPECT_EQ(Moves(owners, next), 32u);
  owners = next;
  next = AssignShards(owners, {"a", "b", "c"});
  ExpectEven(next, {"a", "b", "c"});
  EXPECT_EQ(Moves(owners, next), 21u);
  EXPECT_EQ(AssignShards(next, {"a", "b", "c"}), next) << "it never comes to rest";
  owners = next;
  next = AssignShards(owners, {"a", "c"});  // b is gone: only its shards move
  ExpectEven(next, {"a", "c"});
  EXPECT_EQ(Moves(owners, next), static_cast<size_t>(std::ranges::count(owners, "b")));
}

TEST(ShardAssignment, KnowsNobodyAndMoreFrontEndsThanShards) {
  EXPECT_EQ(AssignShards(Names{"a", ""}, {}), Names(2));
  ExpectEven(AssignShards(Names(2), {"a", "b", "c"}), {"a", "b", "c"});
}

}  // namespace
}  // namespace vswap
