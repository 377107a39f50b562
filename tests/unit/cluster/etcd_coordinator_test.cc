#include "services/cluster/etcd_coordinator.h"

#include <atomic>

#include "services/common/thread_pool.h"
#include "tests/support/coordinator_contract.h"
#include "tests/support/etcd_process.h"

// The contract, against a real etcd that all tests share: each has a root of its own.
namespace vswap {
namespace {

EtcdProcess& Etcd() {
  static EtcdProcess etcd;
  static const Status started = etcd.Start();
  EXPECT_TRUE(started.ok()) << started;
  return etcd;
}

class EtcdSetup : public CoordinatorSetup {
 public:
  EtcdSetup() {
    static std::atomic<int> next = 0;
    EtcdOptions options;
    options.endpoints = {Etcd().endpoint()};
    options.root = "contract-" + std::to_string(++next) + "/";
    options.timeout = std::chrono::seconds(30);
    coordinator_ = std::move(EtcdCoordinator::Open(options, pool_)).value();
  }
  ~EtcdSetup() override { pool_.Stop(); }
  Coordinator& coordinator() override { return *coordinator_; }

 private:
  ThreadPool pool_{3};
  std::unique_ptr<EtcdCoordinator> coordinator_;
};

INSTANTIATE_TEST_SUITE_P(Etcd, CoordinatorContract, testing::Values(CoordinatorFactory([] {
                           return std::make_unique<EtcdSetup>();
                         })));

TEST(EtcdCoordinator, WithoutAnEndpointIsRefused) {
  ThreadPool pool(1);
  EXPECT_EQ(EtcdCoordinator::Open({}, pool).status().code(), StatusCode::kInvalidArgument);
}

TEST(EtcdCoordinator, RootsDoNotSeeEachOther) {
  ThreadPool pool(1);
  EtcdOptions options;
  options.endpoints = {Etcd().endpoint()};
  options.root = "roots/a/";
  const auto a = std::move(EtcdCoordinator::Open(options, pool)).value();
  options.root = "roots/b/";
  const auto b = std::move(EtcdCoordinator::Open(options, pool)).value();
  options.root = "";
  const auto all = std::move(EtcdCoordinator::Open(options, pool)).value();
  for (EtcdCoordinator* coordinator : {a.get(), b.get()}) {
    const auto reply = Await<TransactionReply>([&](auto done) {
      coordinator->Commit({{{"key", 0}}, {{"key", "1"}}, {}}, done);
    });
    EXPECT_TRUE(reply.ok() && reply->succeeded) << reply.status();
  }
  const auto in_a = Await<std::vector<KeyValue>>([&](auto done) { a->List("", done); });
  ASSERT_TRUE(in_a.ok() && in_a->size() == 1) << in_a.status();
  EXPECT_EQ(in_a->front().key, "key");
  const auto in_all = Await<std::vector<KeyValue>>([&](auto done) { all->List("roots/", done); });
  ASSERT_TRUE(in_all.ok() && in_all->size() == 2) << in_all.status();
  EXPECT_EQ(in_all->back().key, "roots/b/key");
  // The etcd is shared: the next run of this test finds nothing of it.
  const auto cleaned = Await<TransactionReply>([&](auto done) {
    all->Commit({{}, {}, {"roots/a/key", "roots/b/key"}}, done);
  });
  EXPECT_TRUE(cleaned.ok()) << cleaned.status();
}

}  // namespace
}  // namespace vswap
