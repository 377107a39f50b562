#include "services/frontend/set_io.h"

#include <algorithm>
#include <memory>

#include "services/common/mutex.h"
#include "services/common/silence.h"

namespace vswap {
namespace {

// A node that answers with a failure of its own counts as one so slow: others get more pages.
constexpr Duration kFailedPut = std::chrono::seconds(1);

struct Gather {
  Mutex mutex;
  size_t missing GUARDED_BY(mutex) = 0;
  std::vector<PutOutcome> outcomes GUARDED_BY(mutex);
  std::function<void(std::vector<PutOutcome>)> done;
};

void Merge(PutOutcome& into, const PutOutcome& next) {
  if (into.code == PageCode::kUnset || into.code == PageCode::kOk) {
    into = next;
  }
}

std::vector<PutPage> PagesFor(const Placement& placement, NodeId node,
                              const std::vector<SetPut>& puts) {
  std::vector<PutPage> pages;
  pages.reserve(puts.size());
  for (const SetPut& put : puts) {
    PutPage& page = pages.emplace_back(put.page);
    if (page.replaces_bytes != 0 && !placement.Keeps(node, put.replaces)) {
      page.replaces_bytes = 0;
    }
  }
  return pages;
}

}  // namespace

void PutToSet(const FrontEndContext& context, SetId set, const std::vector<SetPut>& puts, Lane lane,
              std::function<void(std::vector<PutOutcome>)> done) {
  const Placement& placement = context.placement;
  const auto& copies = placement.CopiesOf(set);
  auto gather = std::make_shared<Gather>();
  const size_t count = puts.size();
  {
    MutexLock lock(gather->mutex);
    gather->missing = copies.size();
    gather->outcomes.resize(count);
  }
  gather->done = std::move(done);
  for (const Placement::Copy& copy : copies) {
    std::vector<PutPage> pages = PagesFor(placement, copy.member->id, puts);
    const auto answered = [gather, copy, count, &clock = context.clock,
                           asked = context.clock.Now()](StatusOr<PutReply> reply) {
      if (reply.ok()) {
        copy.member->puts.Note(clock.Now() - asked);
      } else if (IsSilence(reply.status())) {
        copy.member->answers = false;  // until it is heard of again
      } else {
        copy.member->puts.Note(kFailedPut);
      }
      std::vector<PutOutcome> outcomes;
      {
        MutexLock lock(gather->mutex);
        // What another incarnation keeps, no load would believe to be there.
        const bool usable =
            reply.ok() && reply->pages.size() == count && copy.IsFrom(reply->incarnation);
        for (size_t i = 0; i < count; ++i) {
          Merge(gather->outcomes[i],
                usable ? reply->pages[i] : PutOutcome{PageCode::kUnavailable, 0});
        }
        if (--gather->missing != 0) {
          return;
        }
        outcomes.swap(gather->outcomes);
      }
      gather->done(std::move(outcomes));
    };
    copy.member->node->Put(std::move(pages), lane, answered);
  }
}

void RepairIfStarted(const FrontEndContext& context, uint64_t starts_before, const Shard& shard,
                     const std::vector<SlotRecord>& records) {
  if (context.counters.node_starts == starts_before) {
    return;
  }
  for (const SlotRecord& record : records) {
    const Word word(record.word);
    const auto& copies = context.placement.CopiesOf(word.set());
    const bool started = std::ranges::any_of(
        copies, [&](const Placement::Copy& copy) { return copy.member->started > starts_before; });
    if (word.stored() && copies.size() > 1 && started &&
        shard.Lookup(record.space, record.offset).word == word) {
      context.repairs.Add(shard.id(), record.space, record.offset,
                          {{word, Companion(record.companion)}});
    }
  }
}

}  // namespace vswap
