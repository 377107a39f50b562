#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "services/cluster/etcd_coordinator.h"
#include "services/common/thread_pool.h"
#include "tests/support/await.h"
#include "tests/support/etcd_process.h"
#include "tests/support/tcp_proxy.h"
#include "tests/support/watch_log.h"

// What befalls etcd, and the way to it, as its client sees it.
namespace vswap {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

bool PollUntil(const std::function<bool()>& condition, seconds patience = seconds(60)) {
  const auto deadline = steady_clock::now() + patience;
  while (!condition()) {
    if (steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::sleep_for(milliseconds(10));
  }
  return true;
}

// A coordinator with threads of its own.
class Client {
 public:
  explicit Client(std::vector<std::string> endpoints, Duration timeout = seconds(10)) {
    EtcdOptions options;
    options.endpoints = std::move(endpoints);
    options.timeout = timeout;
    options.backoff_max = milliseconds(200);
    coordinator_ = std::move(EtcdCoordinator::Open(options, pool_)).value();
  }
  EtcdCoordinator* operator->() { return coordinator_.get(); }
  void Destroy() { coordinator_.reset(); }

  StatusOr<TransactionReply> Commit(const Transaction& transaction) {
    return Await<TransactionReply>([&](auto done) { coordinator_->Commit(transaction, done); });
  }
  StatusOr<TransactionReply> Put(const std::string& key, const std::string& value,
                                 LeaseId lease = 0) {
    return Commit({{}, {{key, value, lease}}, {}});
  }
  StatusOr<std::optional<KeyValue>> Get(const std::string& key) {
    return Await<std::optional<KeyValue>>([&](auto done) { coordinator_->Get(key, done); });
  }
  bool Has(const std::string& key) {
    const auto found = Get(key);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() && found->has_value();
  }
  StatusOr<Lease> Grant(Duration ttl, std::function<void(Status)> lost) {
    return Await<Lease>([&](auto done) { coordinator_->GrantLease(ttl, lost, done); });
  }

 private:
  ThreadPool pool_{2};
  std::unique_ptr<EtcdCoordinator> coordinator_;
};

// When and why a lease was lost.
class Loss {
 public:
  std::function<void(Status)> callback() const {
    return [state = state_](const Status& why) {
      MutexLock lock(state->mutex);
      state->why.push_back(why);
      state->at = steady_clock::now();
    };
  }
  std::vector<Status> why() const {
    MutexLock lock(state_->mutex);
    return state_->why;
  }
  steady_clock::time_point at() const {
    MutexLock lock(state_->mutex);
    return state_->at;
  }

 private:
  struct State {
    Mutex mutex;
    std::vector<Status> why GUARDED_BY(mutex);
    steady_clock::time_point at GUARDED_BY(mutex);
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

class Etcd : public testing::Test {
 protected:
  void SetUp() override {
    const Status started = etcd_.Start();
    ASSERT_TRUE(started.ok()) << started;
  }
  EtcdProcess etcd_;
};

class EtcdMembers : public testing::Test {
 protected:
  void SetUp() override {
    const Status started = EtcdProcess::StartAll(members_);
    ASSERT_TRUE(started.ok()) << started;
  }
  std::vector<std::string> endpoints() const {
    std::vector<std::string> all;
    for (const auto& member : members_) {
      all.push_back(member->endpoint());
    }
    return all;
  }
  const std::vector<std::unique_ptr<EtcdProcess>> members_ = EtcdProcess::Members(3);
};

// Writes "0", "1", ... under one key, each on top of what is there, as long as it lives. A value
// whose fate is unknown is looked up before the next one.
class Writer {
 public:
  explicit Writer(Client& client)
      : thread_([this, &client](const std::stop_token& stop) { Run(client, stop); }) {}
  // Until `more` further values were acknowledged.
  void Progress(int more) {
    const int goal = acknowledged_ + more;
    EXPECT_TRUE(PollUntil([&] { return acknowledged_ >= goal; })) << acknowledged_;
  }
  void Stop() {
    thread_.request_stop();
    thread_.join();
  }
  int acknowledged() const { return acknowledged_; }
  int written() const { return written_; }

 private:
  void Run(Client& client, const std::stop_token& stop) {
    uint64_t revision = 0;
    while (!stop.stop_requested()) {
      const std::string value = std::to_string(written_);
      const auto reply = client.Commit({{{"count", revision}}, {{"count", value}}, {}});
      if (reply.ok()) {
        ASSERT_TRUE(reply->succeeded) << value;
        revision = reply->revision;
        ++written_;
        ++acknowledged_;
        continue;
      }
      const auto now = client.Get("count");
      if (now.ok() && now->has_value() && (*now)->revision != revision) {
        ASSERT_EQ((*now)->value, value);
        revision = (*now)->revision;
        ++written_;
      }
    }
  }

  std::atomic<int> acknowledged_ = 0;
  std::atomic<int> written_ = 0;
  std::jthread thread_;
};

// 0, 1, 2, ... each once.
void ExpectAllOnce(const WatchLog& log, int written) {
  log.Wait(static_cast<size_t>(written));
  const std::vector<std::string> texts = log.Texts();
  ASSERT_EQ(texts.size(), static_cast<size_t>(written));
  for (int i = 0; i < written; ++i) {
    EXPECT_EQ(texts[static_cast<size_t>(i)], "count=" + std::to_string(i));
  }
}

TEST_F(Etcd, KilledAndStartedAgainItGoesOnAndAWatchMissesNothing) {
  Client client({etcd_.endpoint()});
  Client watcher({etcd_.endpoint()});
  WatchLog log;
  const auto watch = watcher->Watch("count", 1, log.handler());
  Writer writer(client);
  for (int round = 0; round < 3; ++round) {
    writer.Progress(20);
    etcd_.Kill();
    std::this_thread::sleep_for(milliseconds(300));
    const Status started = etcd_.Start();
    ASSERT_TRUE(started.ok()) << started;
  }
  writer.Progress(20);
  writer.Stop();
  ExpectAllOnce(log, writer.written());
}

TEST_F(Etcd, AShortAbsenceCostsNoLease) {
  Client client({etcd_.endpoint()});
  const Loss loss;
  const auto lease = client.Grant(seconds(6), loss.callback());
  ASSERT_TRUE(lease.ok()) << lease.status();
  ASSERT_TRUE(client.Put("nodes/1", "a", lease->id).ok());
  etcd_.Kill();
  const Status started = etcd_.Start();
  ASSERT_TRUE(started.ok()) << started;
  std::this_thread::sleep_for(2 * lease->ttl);
  EXPECT_TRUE(loss.why().empty());
  EXPECT_TRUE(client.Has("nodes/1"));
}

TEST_F(Etcd, StoppedForLongerThanTheTimeTheLeaseIsReportedLost) {
  Client client({etcd_.endpoint()});
  const Loss loss;
  const auto lease = client.Grant(seconds(2), loss.callback());
  ASSERT_TRUE(lease.ok()) << lease.status();
  ASSERT_TRUE(client.Put("nodes/1", "a", lease->id).ok());
  std::this_thread::sleep_for(lease->ttl);
  EXPECT_TRUE(loss.why().empty());
  const auto stopped = steady_clock::now();
  etcd_.Stop();
  ASSERT_TRUE(PollUntil([&] { return !loss.why().empty(); }));
  // Not before the last answer's time is over, nor long after. Coarse: the machine may be busy.
  EXPECT_GE(loss.at() - stopped, lease->ttl / 4);
  EXPECT_LE(loss.at() - stopped, lease->ttl + seconds(10));
  EXPECT_EQ(loss.why()[0].code(), StatusCode::kUnavailable) << loss.why()[0];
  etcd_.Continue();
  EXPECT_TRUE(PollUntil([&] { return !client.Has("nodes/1"); }));
  EXPECT_EQ(loss.why().size(), 1u);
}

TEST_F(Etcd, ALeaseThatSomebodyElseRevokedIsReportedLost) {
  Client client({etcd_.endpoint()});
  Client other({etcd_.endpoint()});
  const Loss loss;
  const auto lease = client.Grant(seconds(3), loss.callback());
  ASSERT_TRUE(lease.ok()) << lease.status();
  ASSERT_TRUE(Await<LeaseId>([&](auto done) { other->RevokeLease(lease->id, done); }).ok());
  ASSERT_TRUE(PollUntil([&] { return !loss.why().empty(); }));
  EXPECT_EQ(loss.why()[0].code(), StatusCode::kNotFound) << loss.why()[0];
}

TEST_F(Etcd, TheKeysOfAClientThatWentGoWithTheTimeOfItsLease) {
  Client client({etcd_.endpoint()});
  Client gone({etcd_.endpoint()});
  const Loss loss;
  const auto lease = gone.Grant(seconds(1), loss.callback());
  ASSERT_TRUE(lease.ok()) << lease.status();
  ASSERT_TRUE(gone.Put("nodes/1", "a", lease->id).ok());
  std::this_thread::sleep_for(3 * lease->ttl);
  EXPECT_TRUE(client.Has("nodes/1"));
  gone.Destroy();
  EXPECT_TRUE(PollUntil([&] { return !client.Has("nodes/1"); }));
  EXPECT_TRUE(loss.why().empty());
}

TEST_F(Etcd, AWatchFromBeforeACompactionBeginsWithWhatIsThere) {
  Client client({etcd_.endpoint()});
  uint64_t revision = 0;
  for (int i = 0; i < 10; ++i) {
    revision = client.Put("a", std::to_string(i))->revision;
  }
  ASSERT_TRUE(etcd_.Compact(revision - 1).ok());
  WatchLog log;
  const auto watch = client->Watch("a", 1, log.handler());
  EXPECT_EQ(log.Wait(1)[0].revision, revision);
  ASSERT_TRUE(client.Put("a", "10").ok());
  log.Wait(2);
  EXPECT_EQ(log.Texts(), (std::vector<std::string>{"now: a=9", "a=10"}));
}

// The watch was connected, lost its way, and history went on without it.
TEST_F(Etcd, AWatchThatMissedACompactionReadsAllAgain) {
  TcpProxy proxy(etcd_.endpoint());
  ASSERT_TRUE(proxy.listening());
  Client client({etcd_.endpoint()});
  Client watcher({proxy.address()});
  const uint64_t begin = client.Put("a", "0")->revision;
  WatchLog log;
  const auto watch = watcher->Watch("a", begin, log.handler());
  log.Wait(1);
  proxy.SwallowAnswers(true);
  uint64_t revision = 0;
  for (int i = 1; i < 4; ++i) {
    revision = client.Put("a", std::to_string(i))->revision;
  }
  ASSERT_TRUE(client.Put("b", "1").ok());
  ASSERT_TRUE(etcd_.Compact(revision).ok());
  // What was swallowed has broken the connection: the client finds out, and comes anew.
  proxy.SwallowAnswers(false);
  etcd_.Kill();
  const Status started = etcd_.Start();
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_EQ(log.Wait(2)[1].text, "now: a=3");
  ASSERT_TRUE(client.Put("a", "4").ok());
  log.Wait(3);
  EXPECT_EQ(log.Texts(), (std::vector<std::string>{"a=0", "now: a=3", "a=4"}));
}

TEST_F(Etcd, ATransactionWhoseAnswerIsLostIsUnknownAndHappenedOnce) {
  TcpProxy proxy(etcd_.endpoint());
  ASSERT_TRUE(proxy.listening());
  Client direct({etcd_.endpoint()});
  Client client({proxy.address()}, seconds(2));
  const auto before = client.Put("a", "0");
  ASSERT_TRUE(before.ok()) << before.status();
  proxy.SwallowAnswers(true);
  const auto lost = client.Put("a", "1");
  EXPECT_EQ(lost.status().code(), StatusCode::kDeadlineExceeded) << lost.status();
  EXPECT_THAT(std::string(MessageOf(lost.status())), HasSubstr("a (effect unknown)"));
  EXPECT_THAT(std::string(MessageOf(lost.status())), HasSubstr(proxy.address()));
  EXPECT_GT(proxy.swallowed(), 0u);
  proxy.SwallowAnswers(false);
  // Long enough for anybody who would send it again.
  std::this_thread::sleep_for(seconds(2));
  const auto found = direct.Get("a");
  ASSERT_TRUE(found.ok() && found->has_value()) << found.status();
  EXPECT_EQ((*found)->value, "1");
  EXPECT_EQ((*found)->revision, before->revision + 1);
}

TEST_F(Etcd, ATransactionUnderWayWhenEtcdDiesIsUnknown) {
  Client client({etcd_.endpoint()});
  ASSERT_TRUE(client.Put("a", "0").ok());
  etcd_.Stop();
  std::promise<StatusOr<TransactionReply>> answer;
  client->Commit({{}, {{"a", "1"}}, {}},
                 [&](StatusOr<TransactionReply> reply) { answer.set_value(std::move(reply)); });
  std::this_thread::sleep_for(milliseconds(100));
  etcd_.Kill();
  const auto reply = answer.get_future().get();
  EXPECT_EQ(reply.status().code(), StatusCode::kUnavailable) << reply.status();
  EXPECT_THAT(std::string(MessageOf(reply.status())), HasSubstr("effect unknown"));
}

TEST_F(Etcd, WhatWasNotSentIsSaidNotToBe) {
  etcd_.Kill();
  Client client({etcd_.endpoint()}, milliseconds(700));
  const auto reply = client.Put("a", "1");
  EXPECT_EQ(reply.status().code(), StatusCode::kUnavailable) << reply.status();
  EXPECT_THAT(std::string(MessageOf(reply.status())), HasSubstr("a (not sent)"));
  EXPECT_THAT(std::string(MessageOf(reply.status())), HasSubstr(etcd_.endpoint()));
  const auto read = client.Get("b");
  EXPECT_EQ(read.status().code(), StatusCode::kUnavailable) << read.status();
  EXPECT_THAT(std::string(MessageOf(read.status())), HasSubstr("reading b"));
  const Status started = etcd_.Start();
  ASSERT_TRUE(started.ok()) << started;
  ASSERT_TRUE(PollUntil([&] { return client.Get("a").ok(); }));
  EXPECT_FALSE(client.Has("a"));
}

TEST_F(Etcd, ACallWaitsForEtcdToComeBack) {
  etcd_.Kill();
  Client client({etcd_.endpoint()}, seconds(30));
  std::promise<StatusOr<TransactionReply>> answer;
  client->Commit({{{"a", 0}}, {{"a", "1"}}, {}},
                 [&](StatusOr<TransactionReply> reply) { answer.set_value(std::move(reply)); });
  const Status started = etcd_.Start();
  ASSERT_TRUE(started.ok()) << started;
  const auto reply = answer.get_future().get();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(reply->succeeded);
}

// Calls, a lease and a watch under way, and no answer to come.
TEST_F(Etcd, DestroyedWhileEtcdIsStoppedEverythingIsAnswered) {
  Client client({etcd_.endpoint()}, seconds(600));
  const Loss loss;
  ASSERT_TRUE(client.Grant(seconds(60), loss.callback()).ok());
  WatchLog log;
  auto watch = client->Watch("a", 0, log.handler());
  log.Wait(1);
  ASSERT_TRUE(client.Put("a", "0").ok());
  log.Wait(2);
  etcd_.Stop();
  std::promise<Status> committed;
  std::promise<Status> read;
  client->Commit({{}, {{"a", "1"}}, {}},
                 [&](const auto& reply) { committed.set_value(reply.status()); });
  client->Get("a", [&](const auto& reply) { read.set_value(reply.status()); });
  std::this_thread::sleep_for(milliseconds(100));
  const auto begun = steady_clock::now();
  watch.reset();
  client.Destroy();
  EXPECT_LT(steady_clock::now() - begun, seconds(5));
  EXPECT_EQ(committed.get_future().get().code(), StatusCode::kCancelled);
  EXPECT_EQ(read.get_future().get().code(), StatusCode::kCancelled);
  EXPECT_TRUE(loss.why().empty());
}

TEST_F(EtcdMembers, WhenTheOneInUseDiesAnotherIsUsed) {
  Client client(endpoints());
  Client watcher(endpoints());
  WatchLog log;
  const auto watch = watcher->Watch("count", 1, log.handler());
  const Loss loss;
  const auto lease = client.Grant(seconds(8), loss.callback());
  ASSERT_TRUE(lease.ok()) << lease.status();
  ASSERT_TRUE(client.Put("nodes/1", "a", lease->id).ok());
  Writer writer(client);
  writer.Progress(20);
  for (const auto& member : members_) {
    member->Kill();
    writer.Progress(20);
    const Status started = member->Start();
    ASSERT_TRUE(started.ok()) << started;
  }
  std::this_thread::sleep_for(lease->ttl);
  writer.Progress(20);
  writer.Stop();
  ExpectAllOnce(log, writer.written());
  EXPECT_TRUE(loss.why().empty());
  EXPECT_TRUE(client.Has("nodes/1"));
}

TEST_F(EtcdMembers, WhenTheOneInUseIsStoppedAnotherIsUsed) {
  Client client(endpoints(), seconds(6));
  const Loss loss;
  const auto lease = client.Grant(seconds(12), loss.callback());
  ASSERT_TRUE(lease.ok()) << lease.status();
  ASSERT_TRUE(client.Put("nodes/1", "a", lease->id).ok());
  WatchLog log;
  const auto watch = client->Watch("after", 1, log.handler());
  members_[0]->Stop();
  EXPECT_TRUE(client.Has("nodes/1"));
  const auto reply = client.Put("after", "1");
  EXPECT_TRUE(reply.ok()) << reply.status();
  log.Wait(1);
  EXPECT_EQ(log.Texts(), std::vector<std::string>{"after=1"});
  std::this_thread::sleep_for(lease->ttl);
  EXPECT_TRUE(loss.why().empty());
  EXPECT_TRUE(client.Has("nodes/1"));
}

// With one of three left there is nobody to agree: nothing is answered from what it remembers.
TEST_F(EtcdMembers, WithoutTheOthersAMemberAnswersNothing) {
  Client client({members_[0]->endpoint()}, seconds(3));
  ASSERT_TRUE(client.Put("a", "1").ok());
  members_[1]->Kill();
  members_[2]->Kill();
  EXPECT_FALSE(client.Get("a").ok());
  EXPECT_FALSE(client.Put("a", "2").ok());
  ASSERT_TRUE(members_[1]->StartOnly().ok());
  ASSERT_TRUE(PollUntil([&] { return client.Get("a").ok(); }));
}

}  // namespace
}  // namespace vswap
