#include "services/frontend/load_path.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "services/common/mutex.h"
#include "services/common/silence.h"

namespace vswap {
namespace {

// Times that a page may be looked up again because its word had changed under the load.
constexpr int kRoundsMax = 16;

// Of the copies, the one to ask first: the same for neighbours.
size_t FirstAsked(Offset offset) { return offset / kClusterSlots; }

// One batch on its way.
//
//   look up the words ─> zero: answer            ┌─ found ──────────────────────────> answer
//     ^                  stored: ask a node ─────┤─ late: another copy as well
//     │                                          │─ no answer: next copy ─ all tried ─> UNAVAILABLE
//     │                                          └─ not found, corrupt: next copy
//     │                                               │ all tried: a log write proves that we own
//     the shard └────────── the word has changed ───────────────┴─ the word is the same: DATA_LOSS,
//     mark it lost
class LoadOp : public std::enable_shared_from_this<LoadOp> {
 public:
  // `check`: whether the asker may have an answer, asked before and after.
  LoadOp(const FrontEndContext& context, std::shared_ptr<Shard> shard, LoadCall call,
         std::function<Status()> check, LoadDone done)
      : context_(context),
        shard_(std::move(shard)),
        call_(std::move(call)),
        check_(std::move(check)),
        done_(std::move(done)) {}

  void Start() {
    if (Status status = check_(); !status.ok()) {
      done_({std::move(status), {}, {}});
      return;
    }
    const std::vector<Entry> entries =
        call_.header.lane == Lane::kDemand
            ? shard_->LookupForLoad(call_.header.space, call_.extents)
            : shard_->Lookup(call_.header.space, call_.extents);
    if (call_.unmixed && !AllSame(entries)) {
      ++context_.counters.loads_mixed;
      done_({MakeError(ErrorReason::kMixed, "the slots have different backings"), {}, {}});
      return;
    }
    std::vector<size_t> wanted;
    std::unordered_map<Offset, size_t>
        first;  // only where one extent cannot tell that slots differ
    for (const Extent& extent : call_.extents) {
      for (uint32_t i = 0; i < extent.pages; ++i) {
        const size_t page = pages_.size();
        pages_.push_back({extent.offset + i, entries[page]});
        const auto known = call_.extents.size() > 1
                               ? first.try_emplace(extent.offset + i, page).first->second
                               : page;
        if (known == page) {
          wanted.push_back(page);
        } else {
          repeats_.push_back({page, known});
        }
      }
    }
    reply_.pages.resize(pages_.size());
    Ask(std::move(wanted));
  }

 private:
  struct Page {
    Offset offset = 0;
    Entry entry;
    uint32_t asked = 0;    // copies of the set, a bit each
    bool unheard = false;  // some copy's node gave no answer to believe
    bool missing = false;  // some copy's node does not have it, or not whole
    // Of this round, under the mutex:
    uint32_t waiting = 0;  // nodes that have not answered yet
    bool decided = false;  // answered, or all that were asked cannot
  };
  // What one node is asked for.
  struct Question {
    Placement::Copy copy;
    std::vector<size_t> pages;
    TimePoint asked;
    uint32_t round = 0;
  };
  // In an order that is the same each time: the simulation counts on it.
  using Questions = std::map<std::pair<NodeId, Incarnation>, Question>;

  static bool AllSame(const std::vector<Entry>& entries) {
    return std::ranges::all_of(
        entries, [&](const Entry& entry) { return SameBacking(entries.front(), entry); });
  }

  // Answers what needs no node and asks one node a page for the rest.
  void Ask(std::vector<size_t> wanted) {
    Questions questions;
    for (const size_t i : wanted) {
      Page& page = pages_[i];
      const Word word = page.entry.word;
      if (call_.kind == SpaceKind::kAllocated && !page.entry.live()) {
        ++context_.counters.loads_not_found;
        reply_.pages[i].code = PageCode::kNotFound;
        continue;
      }
      if (word.kind() == Backing::kNone || word.kind() == Backing::kZero) {
        ++(word.live() ? context_.counters.loaded_zero : context_.counters.loaded_none);
        reply_.pages[i] = {PageCode::kOk, Encoding::kZero, 0, {}, {}};
        continue;
      }
      if (AskNextCopy(i, &questions)) {
        continue;
      }
      const bool given_up = word.set() == 0;  // nobody has it: see Shard::GivenUp
      if (page.unheard || (!given_up && context_.placement.CopiesOf(word.set()).empty())) {
        ++context_.counters.loads_unavailable;
        reply_.pages[i].code = PageCode::kUnavailable;
      } else {
        gone_.push_back(i);
      }
    }
    if (questions.empty()) {
      ProveLoss();
      return;
    }
    {
      MutexLock lock(mutex_);
      ++round_;
      for (auto& [name, question] : questions) {
        question.round = round_;
        undecided_ += question.pages.size();
        for (const size_t i : question.pages) {
          pages_[i].waiting = 1;
          pages_[i].decided = false;
        }
      }
    }
    Send(std::move(questions));
  }

  // Adds the page to the question to its next copy; false if none is left.
  bool AskNextCopy(size_t i, Questions* questions) {
    Page& page = pages_[i];
    const auto* const copy = NextCopy(context_.placement.CopiesOf(page.entry.word.set()),
                                      FirstAsked(page.offset), &page.asked);
    if (copy == nullptr) {
      return false;
    }
    Question& question = (*questions)[{copy->member->id, copy->incarnation}];
    question.copy = *copy;
    question.pages.push_back(i);
    return true;
  }

  void Send(Questions questions) {
    for (auto& [name, asked] : questions) {
      const auto question = std::make_shared<Question>(std::move(asked));
      question->asked = context_.clock.Now();
      std::vector<PageName> names;
      for (const size_t i : question->pages) {
        names.push_back({call_.header.space, pages_[i].offset, pages_[i].entry.word.version()});
      }
      // Before the call, which may be the last that is heard of this round.
      if (call_.header.lane == Lane::kDemand && HaveOtherCopies(question->pages)) {
        context_.executor.PostAfter(
            question->copy.member->HedgeAfter(),
            [self = shared_from_this(), question] { self->Hedge(*question); });
      }
      question->copy.member->node->Get(
          std::move(names), call_.header.lane,
          [self = shared_from_this(), question](StatusOr<GetReply> reply) {
            self->OnGot(*question, std::move(reply));
          });
    }
  }

  // Whether each of the pages is on another node.
  bool HaveOtherCopies(const std::vector<size_t>& pages) const {
    return std::ranges::all_of(pages, [this](size_t i) {
      uint32_t asked = pages_[i].asked;
      return NextCopy(context_.placement.CopiesOf(pages_[i].entry.word.set()), 0, &asked) !=
             nullptr;
    });
  }

  // The node takes longer than nearly all loads do: another one is asked as well, and the first
  // answer counts.
  void Hedge(const Question& question) {
    Questions questions;
    {
      MutexLock lock(mutex_);
      for (const size_t i : question.pages) {
        if (question.round == round_ && !pages_[i].decided && pages_[i].waiting == 1 &&
            AskNextCopy(i, &questions)) {
          ++pages_[i].waiting;
          ++context_.counters.loads_hedged;
        }
      }
      for (auto& [name, hedge] : questions) {
        hedge.round = round_;
      }
    }
    Send(std::move(questions));
  }

  void OnGot(const Question& question, StatusOr<GetReply> reply) {
    if (reply.ok() && call_.header.lane == Lane::kDemand) {
      question.copy.member->loads.Note(context_.clock.Now() - question.asked);
    }
    std::vector<size_t> wanted;
    std::vector<size_t> revived;
    std::vector<size_t> damaged;
    {
      MutexLock lock(mutex_);
      // What comes late changes nothing.
      if (!Take(question, std::move(reply)) || undecided_ != 0) {
        return;
      }
      wanted.swap(wanted_);
      revived.swap(revived_);
      damaged.swap(damaged_);
    }
    for (const size_t i : revived) {
      Revive(pages_[i]);
    }
    for (const size_t i : damaged) {
      Repair(pages_[i]);
    }
    Ask(std::move(wanted));
  }

  // Whether a page was decided.
  bool Take(const Question& question, StatusOr<GetReply> reply) REQUIRES(mutex_) {
    const Placement::Copy& copy = question.copy;
    if (IsSilence(reply.status())) {
      copy.member->answers = false;  // until it is heard of again
    }
    // An incarnation that is not the registered one cannot tell what the registered one holds.
    const bool believed = reply.ok() && reply->pages.size() == question.pages.size() &&
                          copy.IsFrom(reply->incarnation);
    const auto got = believed ? std::make_shared<const GetReply>(*std::move(reply)) : nullptr;
    const size_t undecided_before = undecided_;
    bool answered = false;
    for (size_t k = 0; k < question.pages.size(); ++k) {
      const size_t i = question.pages[k];
      Page& page = pages_[i];
      if (page.decided) {
        continue;
      }
      --page.waiting;
      page.unheard |= !believed;
      const bool found = believed && got->pages[k].code == PageCode::kOk;
      page.missing |= believed && !found;
      if (found) {
        Answer(i, *got, got->pages[k]);
        answered = true;
      } else if (page.waiting == 0) {
        wanted_.push_back(i);
      }
      page.decided = found || page.waiting == 0;
      undecided_ -= page.decided ? 1 : 0;
    }
    if (answered) {
      reply_.owners.push_back(got);
    }
    return undecided_ != undecided_before;
  }

  void Answer(size_t i, const GetReply& got, const GotPage& page) REQUIRES(mutex_) {
    PageOut& out = reply_.pages[i];
    out = {PageCode::kOk, page.encoding, page.page_checksum, page.stamp, got.BytesOf(page)};
    context_.counters.bytes_out += out.bytes.size();
    const Entry& entry = pages_[i].entry;
    const Tier tier = context_.placement.TierOf(entry.word.set()).value_or(Tier::kPhysical);
    ++(tier == Tier::kCompressed ? context_.counters.loaded_compressed
                                 : context_.counters.loaded_physical);
    if (entry.word.kind() == Backing::kLost) {
      revived_.push_back(i);
    } else if (pages_[i].missing) {
      damaged_.push_back(i);
    }
  }

  // A node's copy is missing, unless the page has moved on meanwhile.
  void Repair(const Page& page) {
    const SpaceId space = call_.header.space;
    if (shard_->Lookup(space, page.offset).word == page.entry.word) {
      ++context_.counters.copies_missing;
      context_.repairs.Add(shard_->id(), space, page.offset, {page.entry});
    }
  }

  void Revive(const Page& page) {
    const Tier tier = context_.placement.TierOf(page.entry.word.set()).value_or(Tier::kPhysical);
    Mark(page, BackingOn(tier), context_.counters.pages_revived);
  }

  // Every copy of these pages was asked for and is not there. Before that is said, a log write must
  // be accepted that is later than the answers (so this process owned the shard then), and the
  // words must still be the same.
  void ProveLoss() {
    if (gone_.empty()) {
      Reply();
      return;
    }
    shard_->Barrier([self = shared_from_this()](const Status& status) { self->OnProof(status); });
  }

  void OnProof(const Status& status) {
    std::vector<size_t> wanted;
    for (const size_t i : std::exchange(gone_, {})) {
      Page& page = pages_[i];
      const Entry now = shard_->Lookup(call_.header.space, page.offset);
      if (!status.ok()) {
        reply_.pages[i].code = PageCode::kUnavailable;
      } else if (now.word == page.entry.word) {
        ++context_.counters.loads_data_loss;
        reply_.pages[i].code = PageCode::kDataLoss;
        if (now.word.kind() != Backing::kLost) {
          Mark(page, Backing::kLost, context_.counters.pages_marked_lost);
        }
      } else if (rounds_ < kRoundsMax) {
        ++context_.counters.load_retries;
        page = {page.offset, now};
        wanted.push_back(i);
      } else {
        ++context_.counters.loads_unavailable;
        reply_.pages[i].code = PageCode::kUnavailable;
      }
    }
    ++rounds_;
    if (wanted.empty()) {
      Reply();
    } else {
      Ask(std::move(wanted));
    }
  }

  // Changes the entry's kind and nothing else, unless somebody else is changing the slot.
  void Mark(const Page& page, Backing kind, std::atomic<uint64_t>& counter) {
    const Word word = page.entry.word;
    const SlotRecord record{call_.header.space, page.offset,
                            Word(kind, word.set(), word.version()).bits(),
                            page.entry.companion.Logged().bits()};
    const std::vector<bool> marked =
        shard_->EnqueueIfUnchanged({{word, record}}, [](Status, const std::vector<Retired>&) {});
    counter += marked[0] ? 1 : 0;
  }

  void Reply() {
    if (!context_.validity.Holds() && !proven_) {
      proven_ = true;
      shard_->Barrier([self = shared_from_this()](const Status& status) {
        if (status.ok()) {
          self->Reply();
        } else {
          self->done_({status, {}, {}});
        }
      });
      return;
    }
    // A client whose space was opened again meanwhile gets no data.
    if (Status status = check_(); !status.ok()) {
      done_({std::move(status), {}, {}});
      return;
    }
    for (const auto& [page, first] : repeats_) {
      reply_.pages[page] = reply_.pages[first];
    }
    done_(std::move(reply_));
  }

  const FrontEndContext context_;
  const std::shared_ptr<Shard> shard_;
  const LoadCall call_;
  const std::function<Status()> check_;
  const LoadDone done_;
  // Touched by one thread at a time, except while nodes are asked: then under the mutex.
  std::vector<Page> pages_;
  std::vector<size_t> gone_;
  std::vector<std::pair<size_t, size_t>>
      repeats_;  // pages of slots that an earlier page has: asked for once
  LoadReply reply_;
  int rounds_ = 0;
  bool proven_ = false;
  Mutex mutex_;
  std::vector<size_t> wanted_ GUARDED_BY(mutex_);   // to be asked for again
  std::vector<size_t> revived_ GUARDED_BY(mutex_);  // were lost and are found
  std::vector<size_t> damaged_ GUARDED_BY(mutex_);  // a copy is missing, another one is not
  size_t undecided_ GUARDED_BY(mutex_) = 0;         // pages of this round
  uint32_t round_ GUARDED_BY(mutex_) = 0;           // of questions
};

}  // namespace

bool SameBacking(const Entry& a, const Entry& b) {
  return a.word.kind() == b.word.kind() && a.live() == b.live() &&
         (a.word.kind() != Backing::kPhysical || a.word.set() == b.word.set());
}

void LoadPages(const FrontEndContext& context, std::shared_ptr<Shard> shard, LoadCall call,
               LoadDone done) {
  const auto check = [shard, header = call.header] { return shard->CheckRead(header); };
  std::make_shared<LoadOp>(context, std::move(shard), std::move(call), check, std::move(done))
      ->Start();
}

void VerifyPages(const FrontEndContext& context, std::shared_ptr<Shard> shard, LoadCall call,
                 std::function<void()> done) {
  std::make_shared<LoadOp>(
      context, std::move(shard), std::move(call), [] { return Status(); },
      [done = std::move(done)](const LoadReply&) { done(); })
      ->Start();
}

void PrefetchPages(const FrontEndContext& context, const std::shared_ptr<Shard>& shard,
                   const LoadCall& call, const std::function<void(Status)>& done) {
  const Status status = shard->CheckRead(call.header);
  if (status.ok()) {
    std::map<NodeId, std::set<PageName>> by_node;
    const std::vector<Entry> entries = shard->Lookup(call.header.space, call.extents);
    size_t next = 0;
    for (const Extent& extent : call.extents) {
      for (uint32_t i = 0; i < extent.pages; ++i) {
        const Word word = entries[next++].word;
        const Offset offset = extent.offset + i;
        uint32_t asked = 0;
        const auto* const copy =
            word.kind() == Backing::kPhysical
                ? NextCopy(context.placement.CopiesOf(word.set()), FirstAsked(offset), &asked)
                : nullptr;
        if (copy != nullptr) {
          by_node[copy->member->id].insert({call.header.space, offset, word.version()});
        }
      }
    }
    for (const auto& [node, names] : by_node) {
      context.counters.prefetched += names.size();
      context.placement.Find(node)->node->Get({names.begin(), names.end()}, Lane::kPrefetch,
                                              [](const StatusOr<GetReply>&) {});
    }
  }
  done(status);
}

}  // namespace vswap
