#include "services/frontend/mover.h"

#include <algorithm>
#include <set>
#include <utility>

#include "services/common/checksum.h"
#include "services/frontend/pace.h"
#include "services/frontend/set_io.h"

namespace vswap {
namespace {

constexpr size_t kYieldingPagesMax = 32;
constexpr int kYieldingRests = 3;
constexpr Duration kYieldingRestMax = std::chrono::seconds(1);

class MoveJob : public std::enable_shared_from_this<MoveJob> {
 public:
  MoveJob(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
          MoveOptions options, std::function<void(const MoveResult&)> done)
      : context_(context),
        shards_(std::move(shards)),
        options_(std::move(options)),
        done_(std::move(done)) {}

  void NextShard() {
    if (shard_index_ == shards_.size()) {
      done_({moved_, !no_room_for_.empty()});
      return;
    }
    sources_ = options_.source(Current());
    std::erase_if(sources_, [this](const NamedEntry& source) {
      return no_room_for_.contains(source.entry.word.set());
    });
    // By set, so that a batch has one source; the oldest last, which is the first to go.
    std::ranges::sort(sources_, std::greater(), [](const NamedEntry& source) {
      return std::pair(source.entry.word.set(), source.entry.word.version());
    });
    NextBatch();
  }

 private:
  // A page on its way.
  struct Moving {
    NamedEntry source;
    std::shared_ptr<const GetReply> got;  // null: no sound copy was found yet
    const GotPage* page = nullptr;        // in it
  };
  struct Batch {
    SetId from = 0;
    SetId to = 0;
    Version first_version = 0;
    TimePoint begun;
    uint64_t starts_before = 0;  // see RepairIfStarted
    Duration least{};            // that it takes, so that the rate is kept
    std::vector<Moving> pages;
    uint32_t copies_asked = 0;                // a bit each
    bool unheard = false;                     // some did not answer
    std::vector<size_t> put;                  // indices of the pages that were put
    std::shared_ptr<OverlapGate::Hold> hold;  // while nodes keep pages twice
  };

  void NextBatch() {
    if (sources_.empty() || Current().failed()) {
      ++shard_index_;
      context_.executor.Post([self = shared_from_this()] { self->NextShard(); });
      return;
    }
    auto batch = std::make_shared<Batch>();
    batch->begun = context_.clock.Now();
    batch->starts_before = context_.counters.node_starts;
    batch->from = sources_.back().entry.word.set();
    const std::optional<SetId> target = options_.target(batch->from);
    if (!target) {
      LeaveSet(batch->from);
      return context_.executor.Post([self = shared_from_this()] { self->NextBatch(); });
    }
    batch->to = *target;
    const uint64_t rate = options_.pages_per_second == nullptr ? 0 : options_.pages_per_second();
    size_t pages_max = options_.yields ? kYieldingPagesMax : kBatchPagesMax;
    if (rate != 0) {  // a second's worth at most, so that something more urgent need not wait
      pages_max = std::min<uint64_t>(pages_max, rate);
    }
    while (!sources_.empty() && batch->pages.size() < pages_max &&
           sources_.back().entry.word.set() == batch->from) {
      batch->pages.push_back({sources_.back(), nullptr, nullptr});
      sources_.pop_back();
    }
    batch->least = TimeAt(rate, batch->pages.size());
    const auto first = Current().IssueVersions(static_cast<uint32_t>(batch->pages.size()));
    if (!first) {
      return EndBatch(*batch, 0);
    }
    batch->first_version = *first;
    GetMissing(batch);
  }

  // Asks one node after the other for what has not been got.
  void GetMissing(const std::shared_ptr<Batch>& batch) {
    std::vector<size_t> missing;
    std::vector<PageName> names;
    for (size_t i = 0; i < batch->pages.size(); ++i) {
      if (const Moving& moving = batch->pages[i]; moving.got == nullptr) {
        missing.push_back(i);
        names.push_back(NameOf(moving.source));
      }
    }
    const Placement::Copy* const copy =
        missing.empty()
            ? nullptr
            : NextCopy(context_.placement.CopiesOf(batch->from), 0, &batch->copies_asked);
    if (copy == nullptr) {
      return Copy(batch);
    }
    copy->member->node->Get(
        std::move(names), Lane::kBackground,
        [self = shared_from_this(), batch, missing, copy](StatusOr<GetReply> reply) {
          batch->unheard |= !reply.ok() || !copy->IsFrom(reply->incarnation) ||
                            reply->pages.size() != missing.size();
          if (reply.ok() && reply->pages.size() == missing.size()) {
            const auto got = std::make_shared<const GetReply>(*std::move(reply));
            for (size_t k = 0; k < missing.size(); ++k) {
              Moving& moving = batch->pages[missing[k]];
              const GotPage& page = got->pages[k];
              if (page.code == PageCode::kOk && IsSound(moving.source, *got, page)) {
                moving.got = got;
                moving.page = &page;
              }
              batch->unheard |= page.code == PageCode::kUnavailable;
            }
          }
          self->GetMissing(batch);
        });
  }

  static PageName NameOf(const NamedEntry& source) {
    return {source.space, source.offset, source.entry.word.version()};
  }

  // The copy gets a checksum of its own under its new name, and the original is deleted: damage
  // that is not found now would be sealed in.
  static bool IsSound(const NamedEntry& source, const GetReply& got, const GotPage& page) {
    return RecordChecksum(NameOf(source), page.stamp, page.page_checksum, page.encoding,
                          got.BytesOf(page)) == page.record_checksum;
  }

  void Copy(const std::shared_ptr<Batch>& batch) {
    std::vector<SetPut> puts;
    const bool overlaps = options_.replaces && context_.placement.ShareNode(batch->from, batch->to);
    for (size_t i = 0; i < batch->pages.size(); ++i) {
      const Moving& moving = batch->pages[i];
      if (moving.got == nullptr) {
        if (options_.on_unsound != nullptr) {
          options_.on_unsound(Current().id(), moving.source, batch->unheard);
        }
        continue;
      }
      const NamedEntry& source = moving.source;
      const GotPage& page = *moving.page;
      PutPage put;
      put.name = {source.space, source.offset, batch->first_version + i};
      put.stamp = page.stamp;
      put.page_checksum = page.page_checksum;
      put.encoding = page.encoding;
      put.as_is = true;
      put.bytes = moving.got->BytesOf(page);
      put.record_checksum =
          RecordChecksum(put.name, put.stamp, put.page_checksum, put.encoding, put.bytes);
      put.replaces_bytes = overlaps ? source.entry.companion.stored_bytes() : 0;
      puts.push_back({put, batch->from});
      batch->put.push_back(i);
    }
    if (puts.empty()) {
      return EndBatch(*batch, 0);
    }
    if (overlaps) {
      batch->hold = context_.gate.Take(OverlapGate::For::kStore);
    }
    PutToSet(context_, batch->to, puts, Lane::kBackground,
             [self = shared_from_this(), batch](const std::vector<PutOutcome>& outcomes) {
               self->Publish(batch, outcomes);
             });
  }

  void Publish(const std::shared_ptr<Batch>& batch, const std::vector<PutOutcome>& outcomes) {
    const Backing kind = BackingOn(context_.placement.TierOf(batch->to).value_or(Tier::kPhysical));
    std::vector<Shard::Conditional> changes;
    std::vector<Retired> unwanted;
    for (size_t k = 0; k < outcomes.size(); ++k) {
      const size_t i = batch->put[k];
      const NamedEntry& source = batch->pages[i].source;
      const Version version = batch->first_version + i;
      if (outcomes[k].code == PageCode::kOk) {
        changes.push_back({source.entry.word,
                           {source.space, source.offset, Word(kind, batch->to, version).bits(),
                            Companion::Stored(outcomes[k].stored_bytes).bits()}});
      } else {
        if (outcomes[k].code == PageCode::kResourceExhausted) {
          no_room_for_.insert(batch->from);
        }
        unwanted.push_back({batch->to, {source.space, source.offset, version}});
      }
    }
    const std::vector<bool> enqueued = Current().EnqueueIfUnchanged(
        changes, [self = shared_from_this(), batch, changes](const Status& status,
                                                             std::vector<Retired> retired) {
          const size_t published = status.ok() ? retired.size() : 0;
          if (published > 0) {
            RepairIfStarted(self->context_, batch->starts_before, self->Current(),
                            RecordsOf(changes));
          }
          self->context_.counters.moved += published;
          if (batch->hold != nullptr && published > 0) {
            batch->hold->GivesRoom();
          }
          self->context_.releaser.Release(std::move(retired), std::move(batch->hold));
          self->EndBatch(*batch, published);
        });
    for (size_t k = 0; k < enqueued.size(); ++k) {
      if (!enqueued[k]) {
        const SlotRecord& record = changes[k].record;
        unwanted.push_back({batch->to, {record.space, record.offset, Word(record.word).version()}});
      }
    }
    context_.releaser.Release(std::move(unwanted));
  }

  static std::vector<SlotRecord> RecordsOf(const std::vector<Shard::Conditional>& changes) {
    std::vector<SlotRecord> records;
    for (const Shard::Conditional& change : changes) {
      records.push_back(change.record);
    }
    return records;
  }

  void EndBatch(const Batch& batch, size_t moved) {
    Current().EndVersions(batch.first_version);
    moved_ += moved;
    if (options_.counter != nullptr) {
      *options_.counter += moved;
    }
    if (no_room_for_.contains(batch.from)) {
      LeaveSet(batch.from);
    }
    Duration pause = batch.least;
    if (options_.yields) {
      const Duration took = context_.clock.Now() - batch.begun;
      pause = std::max(pause, std::min(kYieldingRests * took, kYieldingRestMax));
    }
    const auto next = [self = shared_from_this()] { self->NextBatch(); };
    pause == Duration() ? context_.executor.Post(next) : context_.executor.PostAfter(pause, next);
  }

  void LeaveSet(SetId set) {
    std::erase_if(sources_,
                  [set](const NamedEntry& source) { return source.entry.word.set() == set; });
  }

  Shard& Current() { return *shards_[shard_index_]; }

  const FrontEndContext context_;
  const std::vector<std::shared_ptr<Shard>> shards_;
  const MoveOptions options_;
  const std::function<void(const MoveResult&)> done_;
  std::vector<NamedEntry> sources_;
  size_t shard_index_ = 0;
  uint64_t moved_ = 0;
  std::set<SetId> no_room_for_;  // a target refused its pages for want of room: the rest stays
};

}  // namespace

MoveSource AllOf(Tier tier) {
  const Backing kind = BackingOn(tier);
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
               MoveOptions options, std::function<void(const MoveResult&)> done) {
  std::make_shared<MoveJob>(context, std::move(shards), std::move(options), std::move(done))
      ->NextShard();
}

}  // namespace vswap
