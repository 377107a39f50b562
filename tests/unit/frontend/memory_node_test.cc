#include "tests/support/memory_node.h"

#include "tests/support/node_contract.h"

namespace vswap {
namespace {

class MemorySetup : public NodeSetup {
 public:
  explicit MemorySetup(MemoryNode::Mode mode)
      : node_({.mode = mode, .capacity_pages = 100, .overlap_pages = 16}) {}
  Node& node() override { return node_; }
  void Damage(const PageName& name) override { EXPECT_TRUE(node_.FlipByte(name, 5)); }

 private:
  MemoryNode node_;
};

NodeFactory Factory(MemoryNode::Mode mode) {
  return [mode] { return std::make_unique<MemorySetup>(mode); };
}

INSTANTIATE_TEST_SUITE_P(Memory, NodeContract,
                         testing::Values(Factory(MemoryNode::Mode::kCompressed),
                                         Factory(MemoryNode::Mode::kPhysical)));

TEST(MemoryNode, OnlyTheCompressedTierRefusesNoise) {
  MemoryNode compressed({.mode = MemoryNode::Mode::kCompressed});
  MemoryNode physical({.mode = MemoryNode::Mode::kPhysical});
  const std::vector<PageName> name = {{1, 1, 1}};
  EXPECT_EQ(NodeCalls(compressed).PutRaw(name, 0, false)[0], PageCode::kIncompressible);
  EXPECT_EQ(NodeCalls(physical).PutRaw(name, 0, false)[0], PageCode::kOk);
  EXPECT_EQ(compressed.Names(), std::vector<PageName>{});
  EXPECT_EQ(physical.Names(), name);
}

TEST(MemoryNode, DamageIsFoundAndAPlantedPageIsNot) {
  MemoryNode node({});
  NodeCalls calls(node);
  const std::vector<PageName> names = {{1, 1, 1}, {1, 2, 2}, {1, 3, 3}};
  calls.PutRaw(names);
  EXPECT_TRUE(node.FlipByte(names[0], 5));
  EXPECT_TRUE(node.Drop(names[1]));
  const std::vector<std::byte> wrong = PlainOf(names[0], true);
  EXPECT_TRUE(node.PlantWrongPage(names[2], PageView(wrong.data(), kPageBytes)));
  EXPECT_EQ(calls.CodeOf(names[0]), PageCode::kCorrupt);
  EXPECT_EQ(calls.CodeOf(names[1]), PageCode::kNotFound);
  const auto got = calls.Get({names[2]});
  ASSERT_EQ(got->pages[0].code, PageCode::kOk);
  EXPECT_EQ(PlainBytes(*got, 0), wrong);
  EXPECT_FALSE(node.Drop({1, 9, 9}));
  EXPECT_FALSE(node.FlipByte({1, 9, 9}, 0));
}

TEST(MemoryNode, AnExecutorDelaysTheAnswerAndNotTheEffect) {
  ManualExecutor executor;
  MemoryNode node({.executor = &executor});
  const OwnedPage page = RawPage({1, 1, 1}, true);
  bool answered = false;
  node.Put({page.put}, Lane::kPageOut, [&](const StatusOr<PutReply>& reply) {
    answered = true;
    EXPECT_TRUE(reply.ok());
  });
  EXPECT_FALSE(answered);
  EXPECT_EQ(node.Names().size(), 1u);
  executor.RunReady();
  EXPECT_TRUE(answered);
}

TEST(MemoryNode, FaultsAreOfOneKindOfCall) {
  MemoryNode node({});
  NodeCalls calls(node);
  node.faults().put.FailAfterEffect(1);
  node.faults().remove.FailBeforeEffect(1);
  EXPECT_EQ(calls.PutRaw({1, 1, 1}), PageCode::kUnset);
  EXPECT_EQ(calls.Delete({{1, 1, 1}}).code(), StatusCode::kUnavailable);
  EXPECT_EQ(calls.CodeOf({1, 1, 1}), PageCode::kOk);
  EXPECT_TRUE(calls.Delete({{1, 1, 1}}).ok());
}

}  // namespace
}  // namespace vswap
