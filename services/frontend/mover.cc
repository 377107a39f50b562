#include "services/frontend/mover.h"

#include <algorithm>
#include <utility>

#include "services/common/checksum.h"
#include "services/frontend/set_io.h"

namespace vswap {
namespace {

class MoveJob : public std::enable_shared_from_this<MoveJob> {
 public:
  MoveJob(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
          MoveSource source, Tier to, std::function<void(const MoveResult&)> done)
      : context_(context),
        shards_(std::move(shards)),
        source_(std::move(source)),
        to_(to),
        done_(std::move(done)) {}

  void Start() {
    target_ = context_.placement.Choose(to_);
    result_.no_room = !target_;
    NextShard();
  }

 private:
  struct Batch {
    std::vector<NamedEntry> sources;
    Version first_version = 0;
    StatusOr<GetReply> got;
    std::vector<size_t> put;  // indices of the pages that were put
  };

  void NextShard() {
    if (shard_index_ == shards_.size()) {
      done_(result_);
      return;
    }
    sources_ = source_(Current());
    // By set, so that a batch has one source node; the oldest last, which is the first to go.
    std::ranges::sort(sources_, std::greater(), [](const NamedEntry& source) {
      return std::pair(source.entry.word.set(), source.entry.word.version());
    });
    NextBatch();
  }

  void NextBatch() {
    if (result_.no_room) {
      result_.left += sources_.size();
      sources_.clear();
    }
    if (sources_.empty()) {
      ++shard_index_;
      context_.executor.Post([self = shared_from_this()] { self->NextShard(); });
      return;
    }
    auto batch = std::make_shared<Batch>();
    const SetId set = sources_.back().entry.word.set();
    while (!sources_.empty() && batch->sources.size() < kBatchPagesMax &&
           sources_.back().entry.word.set() == set) {
      batch->sources.push_back(sources_.back());
      sources_.pop_back();
    }
    const auto first = Current().IssueVersions(static_cast<uint32_t>(batch->sources.size()));
    const auto& nodes = context_.placement.NodesOf(set);
    if (!first || nodes.empty()) {
      return EndBatch(*batch, 0);
    }
    batch->first_version = *first;
    std::vector<PageName> names;
    for (const NamedEntry& source : batch->sources) {
      names.push_back({source.space, source.offset, source.entry.word.version()});
    }
    nodes.front()->node->Get(std::move(names), Lane::kBackground,
                             [self = shared_from_this(), batch](StatusOr<GetReply> got) {
                               batch->got = std::move(got);
                               self->Copy(batch);
                             });
  }

  // The copy gets a checksum of its own under its new name, and the original is deleted: damage
  // that is not found now would be sealed in.
  static bool IsSound(const NamedEntry& source, const GetReply& got, const GotPage& page) {
    return RecordChecksum({source.space, source.offset, source.entry.word.version()}, page.stamp,
                          page.page_checksum, page.encoding,
                          got.BytesOf(page)) == page.record_checksum;
  }

  void Copy(const std::shared_ptr<Batch>& batch) {
    std::vector<PutPage> puts;
    const bool usable = batch->got.ok() && batch->got->pages.size() == batch->sources.size();
    for (size_t i = 0; usable && i < batch->sources.size(); ++i) {
      const GotPage& page = batch->got->pages[i];
      const NamedEntry& source = batch->sources[i];
      if (page.code != PageCode::kOk || !IsSound(source, *batch->got, page)) {
        continue;
      }
      PutPage put;
      put.name = {source.space, source.offset, batch->first_version + i};
      put.stamp = page.stamp;
      put.page_checksum = page.page_checksum;
      put.encoding = page.encoding;
      put.as_is = true;
      put.bytes = batch->got->BytesOf(page);
      put.record_checksum =
          RecordChecksum(put.name, put.stamp, put.page_checksum, put.encoding, put.bytes);
      puts.push_back(put);
      batch->put.push_back(i);
    }
    if (puts.empty()) {
      return EndBatch(*batch, 0);
    }
    PutToSet(context_.placement, *target_, std::move(puts), Lane::kBackground,
             [self = shared_from_this(), batch](const std::vector<PutOutcome>& outcomes) {
               self->Publish(batch, outcomes);
             });
  }

  void Publish(const std::shared_ptr<Batch>& batch, const std::vector<PutOutcome>& outcomes) {
    std::vector<Shard::Conditional> changes;
    std::vector<Retired> unwanted;
    for (size_t k = 0; k < outcomes.size(); ++k) {
      const size_t i = batch->put[k];
      const NamedEntry& source = batch->sources[i];
      const Version version = batch->first_version + i;
      if (outcomes[k].code == PageCode::kOk) {
        const Backing kind = to_ == Tier::kCompressed ? Backing::kCompressed : Backing::kPhysical;
        changes.push_back({source.entry.word,
                           {source.space, source.offset, Word(kind, *target_, version).bits(),
                            Companion::Stored(outcomes[k].stored_bytes).bits()}});
      } else {
        result_.no_room |= outcomes[k].code == PageCode::kResourceExhausted;
        unwanted.push_back({*target_, {source.space, source.offset, version}});
      }
    }
    const std::vector<bool> enqueued = Current().EnqueueIfUnchanged(
        changes,
        [self = shared_from_this(), batch](const Status& status, std::vector<Retired> retired) {
          const size_t published = status.ok() ? retired.size() : 0;
          self->context_.counters.moved += published;
          self->context_.releaser.Release(std::move(retired));
          self->EndBatch(*batch, published);
        });
    for (size_t k = 0; k < enqueued.size(); ++k) {
      if (!enqueued[k]) {
        const SlotRecord& record = changes[k].record;
        unwanted.push_back({*target_, {record.space, record.offset, Word(record.word).version()}});
      }
    }
    context_.releaser.Release(std::move(unwanted));
  }

  void EndBatch(const Batch& batch, size_t moved) {
    result_.moved += moved;
    result_.left += batch.sources.size() - moved;
    context_.executor.Post([self = shared_from_this()] { self->NextBatch(); });
  }

  Shard& Current() { return *shards_[shard_index_]; }

  const FrontEndContext context_;
  const std::vector<std::shared_ptr<Shard>> shards_;
  const MoveSource source_;
  const Tier to_;
  const std::function<void(const MoveResult&)> done_;
  std::optional<SetId> target_;
  std::vector<NamedEntry> sources_;
  size_t shard_index_ = 0;
  MoveResult result_;
};

}  // namespace

MoveSource AllOf(Tier tier) {
  const Backing kind = tier == Tier::kCompressed ? Backing::kCompressed : Backing::kPhysical;
  return [kind](const Shard& shard) {
    std::vector<NamedEntry> all;
    shard.Inspect([&](const EntryTable& table) {
      table.ForEach([&](SpaceId space, Offset offset, const Entry& entry) {
        if (entry.word.kind() == kind) {
          all.push_back({space, offset, entry});
        }
      });
    });
    return all;
  };
}

void MovePages(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
               MoveSource source, Tier to, std::function<void(const MoveResult&)> done) {
  std::make_shared<MoveJob>(context, std::move(shards), std::move(source), to, std::move(done))
      ->Start();
}

}  // namespace vswap
