#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <thread>

#include "services/cluster/coordinator.h"
#include "tests/support/await.h"

// What every body of Coordinator must do. A body's test, a program of its own, includes this and
// instantiates it:
//   INSTANTIATE_TEST_SUITE_P(Memory, CoordinatorContract,
//   testing::Values(CoordinatorFactory(...)));
namespace vswap {

// A body and what it stands on.
class CoordinatorSetup {
 public:
  virtual ~CoordinatorSetup() = default;
  virtual Coordinator& coordinator() = 0;
};

using CoordinatorFactory = std::function<std::unique_ptr<CoordinatorSetup>()>;

class CoordinatorContract : public testing::TestWithParam<CoordinatorFactory> {
 protected:
  StatusOr<TransactionReply> Commit(const Transaction& transaction) {
    return Await<TransactionReply>([&](auto done) { coordinator().Commit(transaction, done); });
  }
  uint64_t Put(const std::string& key, const std::string& value) {
    const auto reply = Commit({{}, {{key, value}}, {}});
    EXPECT_TRUE(reply.ok() && reply->succeeded) << reply.status();
    return reply.ok() ? reply->revision : 0;
  }
  std::optional<KeyValue> Get(const std::string& key) {
    const auto reply =
        Await<std::optional<KeyValue>>([&](auto done) { coordinator().Get(key, done); });
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? *reply : std::nullopt;
  }
  std::vector<std::string> ListKeys(const std::string& prefix) {
    const auto reply =
        Await<std::vector<KeyValue>>([&](auto done) { coordinator().List(prefix, done); });
    EXPECT_TRUE(reply.ok()) << reply.status();
    std::vector<std::string> keys;
    for (const KeyValue& record : *reply) {
      keys.push_back(record.key + "=" + record.value);
    }
    return keys;
  }
  Coordinator& coordinator() { return setup_->coordinator(); }

 private:
  std::unique_ptr<CoordinatorSetup> setup_ = GetParam()();
};

TEST_P(CoordinatorContract, AnAbsentKeyIsNothing) {
  EXPECT_FALSE(Get("spaces/a").has_value());
  EXPECT_TRUE(ListKeys("").empty());
}

TEST_P(CoordinatorContract, APutIsReadWithItsRevision) {
  const uint64_t first = Put("a", "1");
  EXPECT_GE(first, 1u);
  const uint64_t second = Put("b", std::string("\0x", 2));
  EXPECT_GT(second, first);
  ASSERT_TRUE(Get("a").has_value());
  EXPECT_EQ(Get("a")->value, "1");
  EXPECT_EQ(Get("a")->revision, first);
  EXPECT_EQ(Get("b")->value, std::string("\0x", 2));
  EXPECT_EQ(Get("b")->revision, second);
}

TEST_P(CoordinatorContract, ListIsInKeyOrderAndOnlyOfThePrefix) {
  Put("nodes/00002", "b");
  Put("nodes/00010", "c");
  Put("nodes/00001", "a");
  Put("node", "x");
  Put("nodes0", "y");
  EXPECT_EQ(ListKeys("nodes/"),
            (std::vector<std::string>{"nodes/00001=a", "nodes/00002=b", "nodes/00010=c"}));
  EXPECT_EQ(ListKeys("").size(), 5u);
}

TEST_P(CoordinatorContract, AFailedCompareChangesNothing) {
  const uint64_t revision = Put("a", "1");
  const auto reply = Commit({{{"a", revision + 1}}, {{"a", "2"}, {"b", "2"}}, {}});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_FALSE(reply->succeeded);
  EXPECT_EQ(reply->revision, revision);
  EXPECT_EQ(Get("a")->value, "1");
  EXPECT_FALSE(Get("b").has_value());
}

TEST_P(CoordinatorContract, AllComparesMustHold) {
  const uint64_t revision = Put("a", "1");
  EXPECT_FALSE(Commit({{{"a", revision}, {"b", 1}}, {{"c", "1"}}, {}})->succeeded);
  EXPECT_TRUE(Commit({{{"a", revision}, {"b", 0}}, {{"c", "1"}}, {}})->succeeded);
  EXPECT_EQ(Get("c")->value, "1");
}

TEST_P(CoordinatorContract, RevisionZeroMeansAbsent) {
  EXPECT_TRUE(Commit({{{"a", 0}}, {{"a", "1"}}, {}})->succeeded);
  EXPECT_FALSE(Commit({{{"a", 0}}, {{"a", "2"}}, {}})->succeeded);
  EXPECT_EQ(Get("a")->value, "1");
}

TEST_P(CoordinatorContract, OneTransactionIsOneRevision) {
  Put("gone", "x");
  const auto reply = Commit({{}, {{"a", "1"}, {"b", "2"}}, {"gone", "never"}});
  ASSERT_TRUE(reply.ok() && reply->succeeded) << reply.status();
  EXPECT_EQ(Get("a")->revision, reply->revision);
  EXPECT_EQ(Get("b")->revision, reply->revision);
  EXPECT_FALSE(Get("gone").has_value());
}

TEST_P(CoordinatorContract, ADeletedKeyComesBackWithANewRevision) {
  const uint64_t before = Put("a", "1");
  ASSERT_TRUE(Commit({{}, {}, {"a"}})->succeeded);
  const uint64_t after = Put("a", "1");
  EXPECT_GT(after, before + 1);
  EXPECT_FALSE(Commit({{{"a", before}}, {{"a", "2"}}, {}})->succeeded);
}

TEST_P(CoordinatorContract, AnEmptyTransactionOnlyCompares) {
  const uint64_t revision = Put("a", "1");
  EXPECT_TRUE(Commit({{{"a", revision}}, {}, {}})->succeeded);
  EXPECT_EQ(Commit({{}, {}, {}})->revision, revision);
}

TEST_P(CoordinatorContract, BadTransactionsAreRefused) {
  for (const Transaction& transaction :
       {Transaction{{{"", 0}}, {}, {}}, Transaction{{}, {{"", "1"}}, {}}, Transaction{{}, {}, {""}},
        Transaction{{}, {{"a", "1"}, {"a", "2"}}, {}}, Transaction{{}, {{"a", "1"}}, {"a"}}}) {
    EXPECT_EQ(Commit(transaction).status().code(), StatusCode::kInvalidArgument);
  }
  EXPECT_TRUE(ListKeys("").empty());
}

// Counters raised by compare-and-swap from several threads: each success is one, none is lost.
TEST_P(CoordinatorContract, CompareAndSwapIsLinearizable) {
  constexpr int kThreads = 4;
  constexpr int kRaises = 25;
  Put("count", "0");
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([this] {
        for (int raised = 0; raised < kRaises;) {
          const auto now = Get("count");
          const auto reply = Commit({{{"count", now->revision}},
                                     {{"count", std::to_string(std::stoi(now->value) + 1)}},
                                     {}});
          ASSERT_TRUE(reply.ok()) << reply.status();
          raised += reply->succeeded ? 1 : 0;
        }
      });
    }
  }
  EXPECT_EQ(Get("count")->value, std::to_string(kThreads * kRaises));
}

}  // namespace vswap
