#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <thread>

#include "services/cluster/coordinator.h"
#include "tests/support/await.h"
#include "tests/support/watch_log.h"

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
  Lease Grant(std::function<void(Status)> lost = [](const Status&) {}) {
    const auto lease = Await<Lease>(
        [&](auto done) { coordinator().GrantLease(std::chrono::seconds(30), lost, done); });
    EXPECT_TRUE(lease.ok()) << lease.status();
    return lease.ok() ? *lease : Lease();
  }
  Status Revoke(LeaseId lease) {
    return Await<LeaseId>([&](auto done) { coordinator().RevokeLease(lease, done); }).status();
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

// What was acknowledged is read by whoever asks afterwards, from any thread.
TEST_P(CoordinatorContract, AReadSeesWhatWasAcknowledgedBefore) {
  for (int i = 0; i < 20; ++i) {
    const uint64_t revision = Put("a", std::to_string(i));
    std::jthread([&] {
      const auto found = Get("a");
      ASSERT_TRUE(found.has_value());
      EXPECT_EQ(found->value, std::to_string(i));
      EXPECT_EQ(found->revision, revision);
      EXPECT_EQ(ListKeys("a"), std::vector<std::string>{"a=" + std::to_string(i)});
    });
  }
}

TEST_P(CoordinatorContract, KeysGoWithTheirLease) {
  const Lease lease = Grant();
  EXPECT_NE(lease.id, 0u);
  EXPECT_GE(lease.ttl, std::chrono::seconds(30));
  Put("stays", "1");
  const auto put = Commit({{}, {{"nodes/1", "a", lease.id}, {"nodes/2", "b", lease.id}}, {}});
  ASSERT_TRUE(put.ok() && put->succeeded) << put.status();
  EXPECT_EQ(ListKeys("").size(), 3u);
  WatchLog log;
  const auto watch = coordinator().Watch("", put->revision + 1, log.handler());
  EXPECT_TRUE(Revoke(lease.id).ok());
  EXPECT_EQ(ListKeys(""), std::vector<std::string>{"stays=1"});
  const auto gone = log.Wait(2);
  EXPECT_EQ(gone[0].text, "nodes/1 gone");
  EXPECT_EQ(gone[1].text, "nodes/2 gone");
  EXPECT_GT(gone[0].revision, put->revision);
  EXPECT_EQ(gone[0].revision, gone[1].revision);
}

TEST_P(CoordinatorContract, APutThatNamesNoLeaseLeavesIt) {
  const Lease first = Grant();
  const Lease second = Grant();
  EXPECT_NE(first.id, second.id);
  ASSERT_TRUE(Commit({{}, {{"a", "1", first.id}, {"b", "1", first.id}}, {}})->succeeded);
  Put("a", "2");
  ASSERT_TRUE(Commit({{}, {{"b", "2", second.id}}, {}})->succeeded);
  EXPECT_TRUE(Revoke(first.id).ok());
  EXPECT_EQ(ListKeys(""), (std::vector<std::string>{"a=2", "b=2"}));
  EXPECT_TRUE(Revoke(second.id).ok());
  EXPECT_EQ(ListKeys(""), std::vector<std::string>{"a=2"});
}

TEST_P(CoordinatorContract, APutUnderALeaseThatHasEndedChangesNothing) {
  const Lease lease = Grant();
  ASSERT_TRUE(Revoke(lease.id).ok());
  for (const LeaseId ended : {lease.id, LeaseId{123456789}}) {
    const auto reply = Commit({{}, {{"b", "1"}, {"a", "1", ended}}, {}});
    EXPECT_EQ(reply.status().code(), StatusCode::kNotFound) << reply.status();
  }
  EXPECT_TRUE(ListKeys("").empty());
}

TEST_P(CoordinatorContract, ALeaseMayBeRevokedTwice) {
  const Lease lease = Grant([](const Status& status) { FAIL() << status; });
  EXPECT_TRUE(Revoke(lease.id).ok());
  EXPECT_TRUE(Revoke(lease.id).ok());
  EXPECT_TRUE(Revoke(123456789).ok());
}

TEST_P(CoordinatorContract, ALeaseOfNoTimeIsRefused) {
  const auto lease = Await<Lease>([&](auto done) {
    coordinator().GrantLease(
        Duration::zero(), [](Status) {}, done);
  });
  EXPECT_EQ(lease.status().code(), StatusCode::kInvalidArgument) << lease.status();
}

TEST_P(CoordinatorContract, AWatchTellsOfPutsAndDeletesInOrder) {
  Put("nodes/1", "before");
  const uint64_t begin = Put("nodes/2", "before");
  WatchLog log;
  const auto watch = coordinator().Watch("nodes/", begin + 1, log.handler());
  const uint64_t first = Put("nodes/1", "a");
  Put("node", "not of the prefix");
  const auto second =
      Commit({{}, {{"nodes/3", "b"}, {"nodes/1", "c"}}, {"nodes/2", "nodes/never"}});
  ASSERT_TRUE(second.ok() && second->succeeded) << second.status();
  const uint64_t third = Put("nodes/2", "d");
  const auto entries = log.Wait(5);
  EXPECT_EQ(log.Texts(), (std::vector<std::string>{"nodes/1=a", "nodes/3=b", "nodes/1=c",
                                                   "nodes/2 gone", "nodes/2=d"}));
  const std::vector<uint64_t> revisions = {first, second->revision, second->revision,
                                           second->revision, third};
  for (size_t i = 0; i < entries.size(); ++i) {
    EXPECT_EQ(entries[i].revision, revisions[i]) << entries[i].text;
  }
}

TEST_P(CoordinatorContract, AWatchResumesWhereItIsTold) {
  const uint64_t first = Put("a", "1");
  const uint64_t second = Put("a", "2");
  Put("b", "1");
  Put("a", "3");
  WatchLog all;
  const auto from_first = coordinator().Watch("a", first, all.handler());
  WatchLog rest;
  const auto from_second = coordinator().Watch("a", second + 1, rest.handler());
  Put("a", "4");
  all.Wait(4);
  rest.Wait(2);
  EXPECT_EQ(all.Texts(), (std::vector<std::string>{"a=1", "a=2", "a=3", "a=4"}));
  EXPECT_EQ(rest.Texts(), (std::vector<std::string>{"a=3", "a=4"}));
}

TEST_P(CoordinatorContract, AWatchMayBeginWithWhatIsThere) {
  Put("nodes/2", "b");
  Put("nodes/1", "a");
  const uint64_t now = Put("other", "x");
  WatchLog log;
  const auto watch = coordinator().Watch("nodes/", 0, log.handler());
  EXPECT_EQ(log.Wait(1)[0].revision, now);
  Put("nodes/1", "c");
  log.Wait(2);
  EXPECT_EQ(log.Texts(), (std::vector<std::string>{"now: nodes/1=a nodes/2=b", "nodes/1=c"}));
}

TEST_P(CoordinatorContract, AWatchOfTheFuturePassesOverWhatComesBefore) {
  const uint64_t now = Put("a", "1");
  WatchLog log;
  const auto watch = coordinator().Watch("a", now + 3, log.handler());
  Put("a", "2");
  Put("a", "3");
  Put("a", "4");
  log.Wait(1);
  EXPECT_EQ(log.Texts(), std::vector<std::string>{"a=4"});
}

TEST_P(CoordinatorContract, AWatchThatWentTellsNothing) {
  const uint64_t now = Put("a", "1");
  WatchLog gone;
  WatchLog stays;
  auto watch = coordinator().Watch("a", now + 1, gone.handler());
  const auto other = coordinator().Watch("a", now + 1, stays.handler());
  Put("a", "2");
  gone.Wait(1);
  watch.reset();
  Put("a", "3");
  stays.Wait(2);
  EXPECT_EQ(gone.Texts(), std::vector<std::string>{"a=2"});
}

// Every change of a busy store comes once, in order, to a watch that began in the middle.
TEST_P(CoordinatorContract, AWatchLosesNothingOfABusyStore) {
  constexpr int kThreads = 3;
  constexpr int kPuts = 40;
  const uint64_t begin = Put("busy", "0");
  WatchLog log;
  std::unique_ptr<WatchHandle> watch;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([this, i] {
        for (int j = 0; j < kPuts; ++j) {
          Put("busy/" + std::to_string(i), std::to_string(j));
        }
      });
    }
    watch = coordinator().Watch("busy/", begin, log.handler());
  }
  const auto entries = log.Wait(kThreads * kPuts);
  ASSERT_EQ(entries.size(), static_cast<size_t>(kThreads * kPuts));
  for (size_t i = 1; i < entries.size(); ++i) {
    EXPECT_EQ(entries[i].revision, entries[i - 1].revision + 1);
  }
}

// A handler may use the coordinator, and end its own watch.
TEST_P(CoordinatorContract, AHandlerMayCallAndEndItsWatch) {
  const uint64_t now = Put("a", "1");
  WatchLog log;
  std::promise<void> begun;
  std::shared_future<void> started = begun.get_future().share();
  auto watch = std::make_shared<std::unique_ptr<WatchHandle>>();
  WatchHandler handler = log.handler();
  handler.on_events = [this, watch, started,
                       tell = handler.on_events](std::vector<WatchEvent> events) {
    started.wait();
    tell(std::move(events));
    watch->reset();
    coordinator().Commit({{}, {{"a", "3"}, {"b", "done"}}, {}}, [](const auto&) {});
  };
  *watch = coordinator().Watch("a", now + 1, std::move(handler));
  begun.set_value();
  WatchLog done;
  const auto other = coordinator().Watch("b", now + 1, done.handler());
  Put("a", "2");
  done.Wait(1);
  EXPECT_EQ(log.Texts(), std::vector<std::string>{"a=2"});
}

}  // namespace vswap
