#include "services/compressor/compressor_node.h"

#include <gtest/gtest.h>

#include "tests/support/node_calls.h"
#include "tests/unit/compressor/arena_bytes.h"
#include "tests/unit/compressor/arena_fixture.h"

namespace vswap {
namespace {

using Codes = std::vector<PageCode>;

PageName Named(Offset offset, Version version = 1) { return {1, offset, version}; }

std::vector<PageName> NamesFrom(Offset first, size_t count) {
  std::vector<PageName> names;
  for (size_t i = 0; i < count; ++i) {
    names.push_back(Named(first + i));
  }
  return names;
}

// A node whose executor runs within the call.
class NodeOnArena {
 public:
  ArenaSetup arena;
  ManualExecutor executor;
  CompressorNode node{arena.arena(), executor};
  NodeCalls calls{node};
};

TEST(CompressorNode, APageThatDoesNotShrinkIsIncompressible) {
  NodeOnArena on;
  EXPECT_EQ(on.calls.PutRaw({Named(1)}, 0, /*shrinks=*/false), Codes{PageCode::kIncompressible});
  EXPECT_EQ(on.calls.CodeOf(Named(1)), PageCode::kNotFound);
  EXPECT_EQ(on.calls.Statistics().pages, 0u);
}

TEST(CompressorNode, ARawPageIsKeptCompressed) {
  NodeOnArena on;
  const auto put = on.calls.Put({RawPage(Named(1), true).put});
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_LT(put->pages[0].stored_bytes, kPageBytes / 2);
  const auto got = on.calls.Get({Named(1)});
  EXPECT_EQ(got->pages[0].encoding, Encoding::kLz4);
  EXPECT_EQ(PlainBytes(*got, 0), PlainOf(Named(1), true));
}

TEST(CompressorNode, StatisticsAreTheArenas) {
  NodeOnArena on;
  on.calls.PutRaw(NamesFrom(0, 20));
  const NodeStatistics statistics = on.calls.Statistics();
  EXPECT_EQ(statistics.incarnation, on.arena.arena().incarnation());
  EXPECT_EQ(statistics.pages, 20u);
  EXPECT_EQ(statistics.pages_capacity, 0u);
  EXPECT_EQ(statistics.capacity_bytes, on.arena.options.memory_max_bytes);
  EXPECT_GE(statistics.used_bytes, on.arena.FileBytes());
  EXPECT_LE(statistics.used_bytes, statistics.capacity_bytes);
}

TEST(CompressorNode, AFlippedByteOfThePayloadCostsExactlyThatPage) {
  NodeOnArena on;
  on.calls.PutRaw(NamesFrom(0, 3));
  const ArenaBytes file(on.arena.options.path);
  const arena::RecordHeader header = file.Header(1);
  ASSERT_EQ(header.name(), Named(1));
  for (uint32_t byte = 0; byte < header.stored_bytes; byte += 100) {
    SCOPED_TRACE("byte " + std::to_string(byte));
    const uint64_t at =
        ArenaBytes::BlockAt(header.blocks[byte / arena::kBlockBytes]) + byte % arena::kBlockBytes;
    file.Flip(at);
    const auto got = on.calls.Get(NamesFrom(0, 3));
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->pages[1].code, PageCode::kCorrupt);
    for (const size_t i : {0u, 2u}) {
      ASSERT_EQ(got->pages[i].code, PageCode::kOk);
      EXPECT_EQ(PlainBytes(*got, i), PlainOf(Named(i), true));
    }
    file.Flip(at);
    EXPECT_EQ(on.calls.CodeOf(Named(1)), PageCode::kOk);
  }
  EXPECT_EQ(on.node.corrupt_pages(), (header.stored_bytes + 99u) / 100);
}

// The index does not believe the file: a damaged header may cost its page, and nothing else.
TEST(CompressorNode, AFlippedByteOfAHeaderNeverMakesAWrongPage) {
  size_t corrupt = 0;
  for (uint32_t byte = 0; byte < arena::kHeaderBytes; ++byte) {
    SCOPED_TRACE("byte " + std::to_string(byte));
    NodeOnArena on;
    on.calls.PutRaw(NamesFrom(0, 3));
    ArenaBytes(on.arena.options.path).Flip(ArenaBytes::HeaderAt(1) + byte);
    const auto got = on.calls.Get(NamesFrom(0, 3));
    ASSERT_TRUE(got.ok()) << got.status();
    for (size_t i = 0; i < 3; ++i) {
      if (i == 1 && got->pages[i].code == PageCode::kCorrupt) {
        ++corrupt;
        continue;
      }
      ASSERT_EQ(got->pages[i].code, PageCode::kOk);
      EXPECT_EQ(PlainBytes(*got, i), PlainOf(Named(i), true));
    }
    // Its blocks are given back all the same.
    ASSERT_TRUE(on.calls.Delete(NamesFrom(0, 3)).ok());
    EXPECT_EQ(on.arena.FileBytes(), 4096u);
  }
  // The stamp, both checksums and the encoding are of the record.
  EXPECT_EQ(corrupt, 8u + 8 + 4 + 4 + 1);
}

TEST(CompressorNode, LargeBatchesAreAnsweredInOrder) {
  NodeOnArena on;
  const std::vector<PageName> names = NamesFrom(0, kBatchPagesMax);
  ASSERT_EQ(on.calls.PutRaw(names), Codes(kBatchPagesMax, PageCode::kOk));
  const auto got = on.calls.Get(names);
  ASSERT_TRUE(got.ok()) << got.status();
  for (size_t i = 0; i < names.size(); ++i) {
    ASSERT_EQ(PlainBytes(*got, i), PlainOf(names[i], true));
  }
  ASSERT_TRUE(on.calls.Delete(names).ok());
  EXPECT_EQ(on.calls.Statistics().pages, 0u);
}

// An executor whose tasks wait until they are told to run, also dispatched ones.
class LateExecutor : public ManualExecutor {
 public:
  void Dispatch(Task task) override { Post(std::move(task)); }
};

TEST(CompressorNode, ADeleteTakesThePageOfAPutThatItOvertakes) {
  ArenaSetup arena;
  LateExecutor executor;
  CompressorNode node(arena.arena(), executor);
  const OwnedPage page = RawPage(Named(1), true);
  const OwnedPage other = RawPage(Named(2), true);
  std::vector<PageCode> codes;
  const auto put = [&](const std::vector<PutPage>& pages) {
    node.Put(pages, Lane::kPageOut,
             [&](const StatusOr<PutReply>& reply) { codes.push_back(reply->pages[0].code); });
  };
  put({page.put, other.put});
  bool deleted = false;
  node.Delete({Named(1)}, [&](const StatusOr<Incarnation>&) { deleted = true; });
  ASSERT_TRUE(deleted);
  ASSERT_TRUE(executor.RunOne());
  EXPECT_EQ(arena.Names(), std::set<PageName>{Named(2)});
  // Puts that begin later are not concerned.
  put({page.put});
  executor.RunReady();
  EXPECT_EQ(codes, Codes(2, PageCode::kOk));
  EXPECT_EQ(arena.Names(), (std::set<PageName>{Named(1), Named(2)}));
}

TEST(CompressorNode, OnlyLargeBatchesNeedTheExecutor) {
  ArenaSetup arena;
  LateExecutor executor;
  CompressorNode node(arena.arena(), executor);
  int answers = 0;
  const auto answered = [&](const auto& reply) { answers += reply.ok() ? 1 : 0; };
  node.Get(NamesFrom(0, 16), Lane::kDemand, answered);
  node.Delete(NamesFrom(0, 64), answered);
  EXPECT_EQ(answers, 2);
  node.Get(NamesFrom(0, 17), Lane::kDemand, answered);
  node.Delete(NamesFrom(0, 65), answered);
  EXPECT_EQ(answers, 2);
  executor.RunReady();
  EXPECT_EQ(answers, 4);
}

// The callback may call the node again.
TEST(CompressorNode, NoLockIsHeldWhileACallbackRuns) {
  NodeOnArena on;
  const OwnedPage page = RawPage(Named(1), true);
  PageCode code = PageCode::kUnset;
  on.node.Put({page.put}, Lane::kPageOut, [&](const StatusOr<PutReply>&) {
    on.node.Get({Named(1)}, Lane::kDemand, [&](const StatusOr<GetReply>& got) {
      code = got->pages[0].code;
      on.node.Delete({Named(1)}, [](const StatusOr<Incarnation>&) {});
    });
  });
  EXPECT_EQ(code, PageCode::kOk);
  EXPECT_EQ(on.calls.Statistics().pages, 0u);
}

TEST(CompressorNode, PagesAreFoundAgainAfterARestart) {
  ArenaSetup arena;
  ManualExecutor executor;
  Incarnation incarnation = 0;
  {
    CompressorNode node(arena.arena(), executor);
    NodeCalls(node).PutRaw(NamesFrom(0, 50));
    incarnation = NodeCalls(node).Statistics().incarnation;
  }
  arena.Reopen();
  CompressorNode node(arena.arena(), executor);
  NodeCalls calls(node);
  EXPECT_EQ(calls.Statistics().incarnation, incarnation);
  EXPECT_EQ(calls.Statistics().pages, 50u);
  const auto got = calls.Get(NamesFrom(0, 50));
  for (size_t i = 0; i < 50; ++i) {
    ASSERT_EQ(got->pages[i].code, PageCode::kOk);
    ASSERT_EQ(PlainBytes(*got, i), PlainOf(Named(i), true));
  }
}

}  // namespace
}  // namespace vswap
