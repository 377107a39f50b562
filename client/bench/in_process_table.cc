#include "client/bench/in_process_table.h"

#include <utility>

#include "client/batcher.h"
#include "services/cluster/await.h"
#include "services/common/process_usage.h"

namespace vswap::bench {
namespace {

constexpr auto kStartMax = std::chrono::minutes(1);
constexpr SetId kSet = 1;
constexpr std::array<std::byte, CountingNode::kStoredBytes> kPage{};

Status NotOk(PageCode code) {
  return MakeError(StatusCode::kInternal, std::string("a page was answered with ") + Name(code));
}

template <typename Page>
Status FirstFailure(const Status& status, const std::vector<Page>& pages,
                    PageCode (*code_of)(const Page&)) {
  VSWAP_RETURN_IF_ERROR(status);
  for (const Page& page : pages) {
    if (code_of(page) != PageCode::kOk) {
      return NotOk(code_of(page));
    }
  }
  return Status();
}

}  // namespace

InProcessTable::InProcessTable(const Options& options) : options_(options) {}

StatusOr<std::unique_ptr<TableTarget>> InProcessTable::Make(const Options& options) {
  std::unique_ptr<InProcessTable> table(new InProcessTable(options));
  VSWAP_RETURN_IF_ERROR(table->Start());
  return std::unique_ptr<TableTarget>(std::move(table));
}

InProcessTable::~InProcessTable() { executor_.Stop(); }

Status InProcessTable::Start() {
  StatusOr<std::unique_ptr<TempDirectory>> directory = TempDirectory::Make();
  if (!directory.ok()) {
    return directory.status();
  }
  directory_ = *std::move(directory);
  StatusOr<std::unique_ptr<LocalCoordinator>> coordinator =
      LocalCoordinator::Open(directory_->path() + "/coordinator", executor_);
  if (!coordinator.ok()) {
    return coordinator.status();
  }
  coordinator_ = *std::move(coordinator);
  Placement placement;
  placement.AddNode({1, Tier::kCompressed, "counting", CountingNode::kIncarnation, &node_});
  placement.AddSet(kSet, Tier::kCompressed, {1});
  front_end_ =
      std::make_unique<FrontEnd>(FrontEnd::Options{.shard_count = options_.shards}, *coordinator_,
                                 std::vector<TableLog*>{&log_}, std::move(placement), executor_);
  VSWAP_RETURN_IF_ERROR(
      AwaitStatus(kStartMax, [this](auto done) { front_end_->Start(std::move(done)); }));
  for (uint32_t thread = 0; thread < options_.threads; ++thread) {
    StatusOr<OpenReply> opened = Open(thread);
    if (!opened.ok()) {
      return opened.status();
    }
    attached_.push_back(std::make_unique<Attached>());
    attached_.back()->opened = *std::move(opened);
  }
  return Status();
}

StatusOr<OpenReply> InProcessTable::Open(uint32_t thread) {
  return AwaitFor<OpenReply>(kStartMax, [&](Callback<OpenReply> done) {
    front_end_->Open({.name = "bench-" + std::to_string(thread),
                      .holder = "vswap-bench",
                      .take_over = true,
                      .create_pages = options_.pages},
                     std::move(done));
  });
}

RequestHeader InProcessTable::Begin(Attached& attached, ShardId shard) {
  const Sequence sequence = attached.next++;
  const Sequence before = sequence <= kInFlight ? 0 : sequence - kInFlight;
  std::atomic<Sequence>& answered = attached.answered[sequence % kInFlight];
  for (Sequence seen = answered; seen != before; seen = answered) {
    answered.wait(seen);
  }
  return {.space = attached.opened.space,
          .token = attached.opened.token,
          .shard = shard,
          .epoch = attached.opened.shard_map.epochs[shard],
          .sequence = sequence,
          .floor = before + 1,
          .lane = Lane::kPageOut};
}

void InProcessTable::End(Attached& attached, Sequence sequence, const Status& status) {
  if (!status.ok()) {
    MutexLock lock(attached.mutex);
    if (attached.failure.ok()) {
      attached.failure = status;
    }
  }
  std::atomic<Sequence>& answered = attached.answered[sequence % kInFlight];
  answered = sequence;
  answered.notify_one();
}

template <typename Send>
void InProcessTable::ForEachBatch(uint32_t thread, const std::vector<PageRange>& ranges,
                                  const Send& send) {
  Attached& attached = *attached_[thread];
  client::Batcher batcher(attached.opened.space, options_.shards, {}, ranges, attached.pool);
  while (client::Request* const batch = batcher.Next()) {
    std::vector<Extent> extents;
    for (const client::Piece& piece : batch->pieces) {
      extents.push_back(piece.extent);
    }
    send(attached, Begin(attached, batch->shard), std::move(extents));
    batcher.AddRoom(*batch);
  }
}

void InProcessTable::Store(uint32_t thread, const std::vector<PageRange>& ranges) {
  ForEachBatch(
      thread, ranges,
      [this](Attached& attached, const RequestHeader& header, std::vector<Extent> extents) {
        StoreCall call;
        call.header = header;
        call.extents = std::move(extents);
        for (const Extent& extent : call.extents) {
          for (uint32_t i = 0; i < extent.pages; ++i) {
            call.pages.push_back(options_.fill == Fill::kZero
                                     ? PageIn{extent.offset + i, Encoding::kZero, 0, {}}
                                     : PageIn{extent.offset + i, Encoding::kLz4, 0, kPage});
          }
        }
        front_end_->Store(std::move(call),
                          [&attached, sequence = header.sequence](const MutationResult& result) {
                            End(attached, sequence,
                                FirstFailure<PageCode>(result.status, result.codes,
                                                       [](const PageCode& code) { return code; }));
                          });
      });
}

void InProcessTable::Load(uint32_t thread, const std::vector<PageRange>& ranges) {
  ForEachBatch(
      thread, ranges,
      [this](Attached& attached, const RequestHeader& header, std::vector<Extent> extents) {
        front_end_->Load({header, std::move(extents)}, [&attached, sequence = header.sequence](
                                                           const LoadReply& reply) {
          End(attached, sequence,
              FirstFailure<PageOut>(reply.status, reply.pages,
                                    [](const PageOut& page) { return page.code; }));
        });
      });
}

void InProcessTable::Free(uint32_t thread, const std::vector<PageRange>& ranges) {
  ForEachBatch(
      thread, ranges,
      [this](Attached& attached, const RequestHeader& header, std::vector<Extent> extents) {
        front_end_->Free({header, std::move(extents)},
                         [&attached, sequence = header.sequence](const MutationResult& result) {
                           End(attached, sequence, result.status);
                         });
      });
}

Status InProcessTable::Wait(uint32_t thread) {
  Attached& attached = *attached_[thread];
  const Sequence last = attached.next - 1;
  for (Sequence sequence = last; sequence > 0 && sequence + kInFlight > last; --sequence) {
    std::atomic<Sequence>& answered = attached.answered[sequence % kInFlight];
    for (Sequence seen = answered; seen != sequence; seen = answered) {
      answered.wait(seen);
    }
  }
  MutexLock lock(attached.mutex);
  return attached.failure;
}

StatusOr<TableTarget::Usage> InProcessTable::Measure() {
  Usage usage;
  for (const auto& [space, counts] : front_end_->Counts()) {
    usage.live_slots += counts.used_slots();
  }
  const ProcessUsage process = OwnUsage();
  usage.resident_bytes = process.resident_bytes;
  usage.cpu = process.cpu;
  return usage;
}

}  // namespace vswap::bench
