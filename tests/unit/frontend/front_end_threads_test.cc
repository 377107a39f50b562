#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>
#include <thread>

#include "services/common/thread_pool.h"
#include "services/frontend/front_end.h"
#include "tests/support/await.h"
#include "tests/support/front_end_client.h"
#include "tests/support/memory_coordinator.h"
#include "tests/support/memory_node.h"
#include "tests/support/memory_table_log.h"
#include "tests/support/pages.h"

namespace vswap {
namespace {

// A front-end in which everything answers on other threads.
class Threads : public testing::Test {
 protected:
  static constexpr uint64_t kPages = 60;  // of a host

  Threads() {
    Placement placement;
    placement.AddNode({1, Tier::kCompressed, "compressor", 1, &compressed_});
    placement.AddNode({2, Tier::kPhysical, "store", 2, &physical_});
    placement.AddSet(1, Tier::kCompressed, {1});
    placement.AddSet(2, Tier::kPhysical, {2});
    front_end_ =
        std::make_unique<FrontEnd>(FrontEnd::Options{.shard_count = 2}, coordinator_,
                                   std::vector<TableLog*>{&log_}, std::move(placement), pool_);
    std::promise<Status> started;
    front_end_->Start([&](const Status& status) { started.set_value(status); });
    EXPECT_TRUE(started.get_future().get().ok());
  }
  ~Threads() override { pool_.Stop(); }

  OpenReply Open(const std::string& name) {
    return Await<OpenReply>([&](auto done) {
             front_end_->Open({.name = name, .holder = "host", .create_pages = 1 << 20}, done);
           })
        .value();
  }

  ThreadPool pool_{3};
  MemoryCoordinator coordinator_{&pool_};
  MemoryTableLog log_{&pool_};
  // Too small for all pages, so that some are refused and the tiers take turns.
  MemoryNode compressed_{{.mode = MemoryNode::Mode::kCompressed,
                          .capacity_pages = 50,
                          .overlap_pages = 8,
                          .incarnation = 1,
                          .executor = &pool_}};
  MemoryNode physical_{
      {.capacity_pages = 90, .overlap_pages = 8, .incarnation = 2, .executor = &pool_}};
  std::unique_ptr<FrontEnd> front_end_;
};

// One thread of one space, which knows what it stored.
class Host {
 public:
  Host(FrontEnd& front_end, const OpenReply& opened, uint64_t seed)
      : front_end_(front_end), client_(opened), random_(seed) {}

  void DoSomething(uint64_t pages) {
    const Offset offset = random_.Below(pages) * 700;  // over clusters and both shards
    switch (random_.Below(4)) {
      case 0:
        return Free(offset);
      case 1:
      case 2:
        return Store(offset);
      default:
        return ExpectRight(offset);
    }
  }
  void ExpectAllRight() {
    for (const auto& [offset, bytes] : stored_) {
      ExpectRight(offset);
    }
  }

 private:
  void Store(Offset offset) {
    const uint64_t kind = random_.Below(8);
    PageBytes bytes = kind == 0
                          ? ZeroPage()
                          : PlainOf({client_.space(), offset, ++stores_}, /*shrinks=*/kind < 6);
    const StoreCall call = client_.MakeStore({{offset, bytes}});
    const MutationResult result =
        WaitFor<MutationResult>([&](auto done) { front_end_.Store(call, std::move(done)); });
    client_.Answered(call.header);
    ASSERT_TRUE(result.status.ok()) << result.status;
    ASSERT_EQ(result.codes.size(), 1u);
    if (result.codes[0] == PageCode::kOk) {
      stored_[offset] = std::move(bytes);
    } else {
      EXPECT_EQ(result.codes[0], PageCode::kResourceExhausted);  // what was there stays
    }
  }
  void Free(Offset offset) {
    const RequestHeader header = client_.Next(offset);
    const MutationResult result = WaitFor<MutationResult>([&](auto done) {
      front_end_.Free({header, {{offset, 1}}}, std::move(done));
    });
    client_.Answered(header);
    ASSERT_TRUE(result.status.ok()) << result.status;
    stored_.erase(offset);
  }
  void ExpectRight(Offset offset) {
    const RequestHeader header = client_.Next(offset);
    const LoadReply reply = WaitFor<LoadReply>([&](auto done) {
      front_end_.Load({header, {{offset, 1}}}, std::move(done));
    });
    client_.Answered(header);
    ASSERT_TRUE(reply.status.ok()) << reply.status;
    ASSERT_EQ(reply.pages[0].code, PageCode::kOk);
    const auto it = stored_.find(offset);
    EXPECT_EQ(client_.Plain(offset, reply.pages[0]),
              std::optional(it == stored_.end() ? ZeroPage() : it->second));
  }
  template <typename T, typename Call>
  static T WaitFor(Call call) {
    auto promise = std::make_shared<std::promise<T>>();
    auto future = promise->get_future();
    call([promise](T answer) { promise->set_value(std::move(answer)); });
    return future.get();
  }

  FrontEnd& front_end_;
  FrontEndClient client_;
  SeededRandom random_;
  uint64_t stores_ = 0;
  std::map<Offset, PageBytes> stored_;
};

TEST_F(Threads, HostsMovesAndReadersDoNotDisturbEachOther) {
  std::atomic<bool> ending = false;
  std::thread mover([&] {
    for (bool down = true; !ending; down = !down) {
      std::promise<uint64_t> left;
      front_end_->MoveAll(down ? Tier::kCompressed : Tier::kPhysical,
                          down ? Tier::kPhysical : Tier::kCompressed,
                          [&](uint64_t pages) { left.set_value(pages); });
      left.get_future().wait();
    }
  });
  std::thread reader([&] {
    while (!ending) {
      front_end_->Counts();
      static_cast<void>(front_end_->GetShardMap());
      static_cast<void>(front_end_->Idle());
      static_cast<void>(front_end_->counters().moved.load());
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> hosts;
  for (uint64_t i = 0; i < 3; ++i) {
    hosts.emplace_back([&, i, opened = Open("host-" + std::to_string(i))] {
      Host host(*front_end_, opened, i);
      // On a busy machine the mover may come late.
      const auto goes_on = [&](int operation) {
        return operation < 400 || (operation < 40000 && front_end_->counters().moved == 0);
      };
      for (int operation = 0; goes_on(operation) && !HasFailure(); ++operation) {
        host.DoSomething(kPages);
      }
      host.ExpectAllRight();
    });
  }
  for (std::thread& host : hosts) {
    host.join();
  }
  ending = true;
  mover.join();
  reader.join();
  EXPECT_GT(front_end_->counters().moved, 0u);
}

}  // namespace
}  // namespace vswap
