#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "services/common/thread_pool.h"
#include "services/frontend/front_end.h"
#include "tests/support/faulty_coordinator.h"
#include "tests/support/faulty_node.h"
#include "tests/support/faulty_table_log.h"
#include "tests/support/front_end_client.h"
#include "tests/support/held_node.h"
#include "tests/support/memory_coordinator.h"
#include "tests/support/memory_node.h"
#include "tests/support/memory_table_log.h"
#include "tests/support/pages.h"

namespace vswap {

// A front-end on a coordinator, a table log and one node a tier, all in memory and in one thread.
// Calls below run the executor until it has nothing ready; time stands still unless a test moves
// it.
class FrontEndSetup {
 public:
  static constexpr SetId kCompressedSet = 1;
  static constexpr SetId kPhysicalSet = 2;
  struct Options {
    uint64_t compressed_pages = 1 << 20;
    uint64_t physical_pages = 1 << 20;
    uint64_t overlap_pages = 16;
    uint32_t shard_count = 2;
    std::optional<Writeback::Options> writeback = std::nullopt;
    Duration compare_every{};
  };

  FrontEndSetup() : FrontEndSetup(Options()) {}
  explicit FrontEndSetup(const Options& options)
      : compressed({.mode = MemoryNode::Mode::kCompressed,
                    .capacity_pages = options.compressed_pages,
                    .overlap_pages = options.overlap_pages,
                    .incarnation = 11}),
        physical({.mode = MemoryNode::Mode::kPhysical,
                  .capacity_pages = options.physical_pages,
                  .overlap_pages = options.overlap_pages,
                  .incarnation = 12}),
        shard_count_(options.shard_count),
        writeback_(options.writeback),
        compare_every_(options.compare_every) {
    Start();
  }
  ~FrontEndSetup() { Drop(); }

  // As kill -9 does: whatever is under way is never heard of again.
  void Drop() {
    held_compressed.Drop();
    held_physical.Drop();
    faults.Drop();
    executor.DropTasks();
    front_end_.reset();
  }
  // A front-end that was not started.
  void Make() {
    front_end_ = std::make_unique<FrontEnd>(
        FrontEnd::Options{
            .shard_count = shard_count_, .writeback = writeback_, .compare_every = compare_every_},
        faulty_coordinator, std::vector<TableLog*>{&faulty_log}, placement(), executor);
  }
  Status TryStart() {
    Make();
    Status started = MakeError(StatusCode::kUnknown, "Start did not answer");
    front_end_->Start([&](Status status) { started = std::move(status); });
    executor.RunReady();
    return started;
  }
  void Start() {
    const Status started = TryStart();
    EXPECT_TRUE(started.ok()) << started;
  }
  void Restart() {
    Drop();
    Start();
  }
  Placement placement() {
    Placement placement;
    placement.AddNode({1, Tier::kCompressed, "compressor", 11, &held_compressed});
    placement.AddNode({2, Tier::kPhysical, "store", 12, &held_physical});
    placement.AddSet(kCompressedSet, Tier::kCompressed, {1});
    placement.AddSet(kPhysicalSet, Tier::kPhysical, {2});
    return placement;
  }
  FrontEnd& front_end() { return *front_end_; }

  StatusOr<OpenReply> TryOpen(const OpenCall& call) {
    StatusOr<OpenReply> opened = MakeError(StatusCode::kUnknown, "Open did not answer");
    front_end_->Open(call, [&](StatusOr<OpenReply> reply) { opened = std::move(reply); });
    executor.RunReady();
    return opened;
  }
  FrontEndClient Open(const std::string& name = "a", const std::string& holder = "h",
                      uint64_t pages = 1 << 20) {
    const auto opened =
        TryOpen({.name = name, .holder = holder, .take_over = true, .create_pages = pages});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return FrontEndClient(opened.ok() ? *opened : OpenReply{});
  }

  // An allocated space.
  FrontEndClient OpenAllocated(const std::string& name = "s", uint64_t pages = 1 << 20) {
    const auto opened = TryOpen(
        {.name = name, .holder = "h", .create_pages = pages, .kind = SpaceKind::kAllocated});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return FrontEndClient(opened.ok() ? *opened : OpenReply{});
  }

  // Starts a store; the answer is there when the test says so.
  std::shared_ptr<std::optional<MutationResult>> BeginStore(StoreCall call) {
    auto result = std::make_shared<std::optional<MutationResult>>();
    front_end_->Store(std::move(call), [result](const MutationResult& answer) {
      EXPECT_FALSE(result->has_value()) << "answered twice";
      *result = answer;
    });
    executor.RunReady();
    return result;
  }
  std::shared_ptr<std::optional<MutationResult>> BeginFree(FreeCall call) {
    auto result = std::make_shared<std::optional<MutationResult>>();
    front_end_->Free(std::move(call), [result](const MutationResult& answer) {
      EXPECT_FALSE(result->has_value()) << "answered twice";
      *result = answer;
    });
    executor.RunReady();
    return result;
  }
  std::shared_ptr<std::optional<LoadReply>> BeginLoad(LoadCall call) {
    auto result = std::make_shared<std::optional<LoadReply>>();
    front_end_->Load(std::move(call), [result](LoadReply reply) {
      EXPECT_FALSE(result->has_value()) << "answered twice";
      *result = std::move(reply);
    });
    executor.RunReady();
    return result;
  }

  MutationResult Store(FrontEndClient& client, std::vector<ContentAt> pages) {
    StoreCall call = client.MakeStore(std::move(pages));
    const RequestHeader header = call.header;
    const auto result = BeginStore(std::move(call));
    client.Answered(header);
    return result->value_or(NoAnswer());
  }
  PageCode StoreOne(FrontEndClient& client, Offset offset, PageBytes bytes) {
    const MutationResult result = Store(client, {{offset, std::move(bytes)}});
    EXPECT_TRUE(result.status.ok()) << result.status;
    return result.codes.empty() ? PageCode::kUnset : result.codes[0];
  }
  MutationResult Allocate(FrontEndClient& client, uint32_t order, uint32_t count,
                          ShardId shard = 0) {
    const RequestHeader header = client.NextOn(shard);
    const MutationResult result = AllocateAs(header, order, count);
    client.Answered(header);
    return result;
  }
  MutationResult AllocateAs(const RequestHeader& header, uint32_t order, uint32_t count) {
    return Mutate([&](MutationDone done) {
      front_end_->Allocate({header, {.order = order, .count = count}}, std::move(done));
    });
  }
  MutationResult Duplicate(FrontEndClient& client, const std::vector<Extent>& extents) {
    const RequestHeader header = client.Next(extents[0].offset);
    const MutationResult result = DuplicateAs(header, extents);
    client.Answered(header);
    return result;
  }
  MutationResult DuplicateAs(const RequestHeader& header, const std::vector<Extent>& extents) {
    return Mutate([&](MutationDone done) {
      front_end_->Duplicate({header, extents}, std::move(done));
    });
  }
  MutationResult FreeAs(const RequestHeader& header, const std::vector<Extent>& extents) {
    return Mutate([&](MutationDone done) { front_end_->Free({header, extents}, std::move(done)); });
  }
  // What a call answers once the executor has nothing ready.
  MutationResult Mutate(const std::function<void(MutationDone)>& call) {
    const auto result = std::make_shared<std::optional<MutationResult>>();
    call([result](const MutationResult& answer) {
      EXPECT_FALSE(result->has_value()) << "answered twice";
      *result = answer;
    });
    executor.RunReady();
    return result->value_or(NoAnswer());
  }
  MutationResult Free(FrontEndClient& client, Extent extent) {
    const RequestHeader header = client.Next(extent.offset);
    const auto result = BeginFree({header, {extent}});
    client.Answered(header);
    return result->value_or(NoAnswer());
  }
  LoadReply Load(FrontEndClient& client, const std::vector<Extent>& extents) {
    const RequestHeader header = client.Next(extents[0].offset);
    const auto result = BeginLoad({header, extents});
    client.Answered(header);
    EXPECT_TRUE(result->has_value()) << "Load did not answer";
    return result->has_value() ? std::move(**result)
                               : LoadReply{.status = NoAnswer().status, .pages = {}, .owners = {}};
  }
  StatusOr<std::vector<BackingRun>> Extents(FrontEndClient& client, Extent extent) {
    const RequestHeader header = client.Next(extent.offset);
    const auto result = std::make_shared<StatusOr<std::vector<BackingRun>>>(NoAnswer().status);
    front_end_->Extents(header, extent, [result](auto runs) { *result = std::move(runs); });
    executor.RunReady();
    client.Answered(header);
    return *result;
  }
  PageCode CodeOf(FrontEndClient& client, Offset offset) {
    const LoadReply reply = Load(client, {{offset, 1}});
    EXPECT_TRUE(reply.status.ok()) << reply.status;
    return reply.pages.empty() ? PageCode::kUnset : reply.pages[0].code;
  }
  // The page's bytes; empty where it did not come, or is damaged.
  PageBytes LoadOne(FrontEndClient& client, Offset offset) {
    const LoadReply reply = Load(client, {{offset, 1}});
    EXPECT_TRUE(reply.status.ok()) << reply.status;
    if (reply.pages.empty() || reply.pages[0].code != PageCode::kOk) {
      return {};
    }
    return client.Plain(offset, reply.pages[0]).value_or(PageBytes());
  }
  Entry EntryAt(const FrontEndClient& client, Offset offset) {
    return front_end_->shards()[client.ShardAt(offset)]->Lookup(client.space(), offset);
  }
  PageName NameAt(const FrontEndClient& client, Offset offset) {
    return {client.space(), offset, EntryAt(client, offset).word.version()};
  }
  // Moves time on until nothing is under way.
  void Settle() {
    for (int i = 0; i < 100 && !front_end_->Idle(); ++i) {
      executor.Advance(std::chrono::seconds(1));
    }
    EXPECT_TRUE(front_end_->Idle());
  }
  // Slots that the log has a record for.
  size_t LoggedSlots() {
    size_t count = 0;
    for (ShardId shard = 0; shard < shard_count_; ++shard) {
      log.Read(shard, "", kLogReadSlotsMax, [&](const StatusOr<LogReadReply>& reply) {
        count += reply.ok() ? reply->slots.size() : 0;
      });
    }
    return count;
  }

  // Answers to requests that the log keeps.
  size_t LoggedAnswers() {
    size_t count = 0;
    for (ShardId shard = 0; shard < shard_count_; ++shard) {
      log.Read(shard, "", kLogReadSlotsMax, [&](const StatusOr<LogReadReply>& reply) {
        count += reply.ok() ? reply->requests.size() : 0;
      });
    }
    return count;
  }

  ManualExecutor executor;
  MemoryCoordinator coordinator;
  MemoryTableLog log;
  MemoryNode compressed;
  MemoryNode physical;
  // What stands between the front-end and these; transparent unless a test instructs it.
  FaultScript faults;
  FaultyCoordinator faulty_coordinator{faults, coordinator};
  FaultyTableLog faulty_log{faults, log};
  FaultyNode faulty_compressed{faults, compressed};
  FaultyNode faulty_physical{faults, physical};
  HeldNode held_compressed{faulty_compressed};
  HeldNode held_physical{faulty_physical};

 private:
  static MutationResult NoAnswer() {
    return {MakeError(StatusCode::kUnknown, "no answer"), {}, 0, {}};
  }

  const uint32_t shard_count_;
  const std::optional<Writeback::Options> writeback_;
  const Duration compare_every_;
  std::unique_ptr<FrontEnd> front_end_;
};

// Pages that differ by slot and number.
inline PageBytes Shrinking(Offset offset, uint64_t number = 1) {
  return PlainOf({1, offset, number}, true);
}
inline PageBytes Noise(Offset offset, uint64_t number = 1) {
  return PlainOf({2, offset, number}, false);
}

}  // namespace vswap
