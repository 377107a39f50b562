#include "services/frontend/store_path.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <utility>

#include "services/common/checksum.h"
#include "services/frontend/set_io.h"

namespace vswap {
namespace {

// Rounds without any progress in which pages wait for room that others are about to give back; and
// how many of them in a row may follow somebody who gave none.
constexpr int kRoundsMax = 64;
constexpr int kFruitlessMax = 4;
// Sets of a tier that a page is offered to.
constexpr size_t kSetsTriedMax = 3;

// One batch on its way. Passed from callback to callback, so used by one thread at a time.
//
//   round: compressed tier → physical tier → log → publish → release ┬→ answer
//     ^  the pages without room, if room is coming for them           │
//     └───────────────────────────────────────────────────────────────┘
class StoreOp : public std::enable_shared_from_this<StoreOp> {
 public:
  StoreOp(const FrontEndContext& context, std::shared_ptr<Shard> shard, StoreCall call)
      : context_(context), shard_(std::move(shard)), call_(std::move(call)) {}

  void Start(MutationDone done) {
    request_ =
        shard_->AdmitStore(call_.header, call_.extents, call_.kind, &slots_, std::move(done));
    if (!request_) {
      return;
    }
    codes_.assign(slots_.size(), PageCode::kUnset);
    std::vector<size_t> pages;
    for (size_t i = 0; i < slots_.size(); ++i) {
      context_.counters.bytes_in += call_.pages[i].bytes.size();
      if (slots_[i].refused != PageCode::kUnset) {
        Refuse(i, slots_[i].refused);
      } else if (IsZero(call_.pages[i])) {
        AddZero(i);
      } else {
        pages.push_back(i);
      }
    }
    Round(std::move(pages));
  }

 private:
  // Raw pages of zeros are found here; a client may also say so itself.
  static bool IsZero(const PageIn& page) {
    return page.encoding == Encoding::kZero ||
           (page.encoding == Encoding::kRaw && IsZeroPage(page.bytes.first<kPageBytes>()));
  }

  void AddZero(size_t page) {
    const PageIn& in = call_.pages[page];
    const Stamp stamp{call_.header.token, call_.header.sequence};
    // Nothing of a zero page is kept that could be checked later, so its checksum is checked now.
    if (in.encoding == Encoding::kRaw &&
        in.checksum !=
            PageChecksum(call_.header.space, in.offset, stamp, in.bytes.first<kPageBytes>())) {
      Refuse(page, PageCode::kCorrupt);
      return;
    }
    codes_[page] = PageCode::kOk;
    records_.push_back({call_.header.space, in.offset,
                        Word(Backing::kZero, 0, slots_[page].version).bits(),
                        Companion::Stored(0).bits()});
  }

  void Round(std::vector<size_t> pages) {
    ++rounds_;
    no_room_.clear();
    tried_.clear();
    returns_before_ = {context_.gate.Returns(false), context_.gate.Returns(true)};
    PutTier(Tier::kCompressed, std::move(pages));
  }

  // The set of the tier to try next. A full node is no reason to keep fewer copies.
  std::optional<SetId> NextSet(Tier tier) {
    const Placement& placement = context_.placement;
    const std::optional<SetId> set =
        tried_.size() < kSetsTriedMax ? placement.Choose(tier, tried_) : std::nullopt;
    const bool as_good =
        tried_.empty() || unreached_ ||
        (set && placement.LastingCopies(*set) >= placement.LastingCopies(tried_.back()));
    return as_good ? set : std::nullopt;
  }

  // Puts to one set of the tier after another, as long as pages are left.
  void PutTier(Tier tier, std::vector<size_t> pages) {
    const std::optional<SetId> set = pages.empty() ? std::nullopt : NextSet(tier);
    if (!set) {
      tried_.clear();
      pages.insert(pages.end(), incompressible_.begin(), incompressible_.end());
      incompressible_.clear();
      AfterTier(tier, std::move(pages));
      return;
    }
    tried_.push_back(*set);
    std::vector<SetPut> puts;
    puts.reserve(pages.size());
    for (const size_t page : pages) {
      puts.push_back(MakePut(page, *set));
    }
    PutToSet(
        context_, *set, puts, call_.header.lane,
        [self = shared_from_this(), tier, set = *set, pages = std::move(pages)](
            const std::vector<PutOutcome>& outcomes) { self->OnPut(tier, set, pages, outcomes); });
  }

  SetPut MakePut(size_t page, SetId set) {
    const PageIn& in = call_.pages[page];
    const Word current = slots_[page].current.word;
    PutPage put;
    put.name = {call_.header.space, in.offset, slots_[page].version};
    put.stamp = {call_.header.token, call_.header.sequence};
    put.page_checksum = in.checksum;
    put.encoding = in.encoding;
    put.bytes = in.bytes;
    put.record_checksum =
        RecordChecksum(put.name, put.stamp, put.page_checksum, put.encoding, put.bytes);
    if (!current.stored() || !context_.placement.ShareNode(current.set(), set)) {
      return {put};
    }
    put.replaces_bytes = slots_[page].current.companion.stored_bytes();
    if (!hold_) {
      hold_ = context_.gate.Take(OverlapGate::For::kStore);
    }
    return {put, current.set()};
  }

  void OnPut(Tier tier, SetId set, const std::vector<size_t>& pages,
             const std::vector<PutOutcome>& outcomes) {
    std::vector<size_t> next;
    unreached_ = false;
    for (size_t i = 0; i < pages.size(); ++i) {
      const size_t page = pages[i];
      switch (outcomes[i].code) {
        case PageCode::kOk:
          Place(page, tier, set, outcomes[i].stored_bytes);
          break;
        case PageCode::kIncompressible:
          ++context_.counters.incompressible;
          Retire(page, set);
          incompressible_.push_back(page);
          break;
        case PageCode::kInvalid:
        case PageCode::kCorrupt:
          Retire(page, set);
          Refuse(page, outcomes[i].code);
          break;
        case PageCode::kUnavailable:
          unavailable_ = unreached_ = true;
          [[fallthrough]];
        default:
          Retire(page, set);
          next.push_back(page);
          break;
      }
    }
    PutTier(tier, std::move(next));
  }

  void Place(size_t page, Tier tier, SetId set, uint32_t stored_bytes) {
    if (hold_ && slots_[page].current.word.stored()) {
      hold_->GivesRoom();
    }
    codes_[page] = PageCode::kOk;
    records_.push_back({call_.header.space, slots_[page].offset,
                        Word(BackingOn(tier), set, slots_[page].version).bits(),
                        Companion::Stored(stored_bytes).bits()});
  }

  // Some node of the set may hold the page although the set as a whole does not.
  void Retire(size_t page, SetId set) {
    if (unavailable_ || context_.placement.CopiesOf(set).size() > 1) {
      leftovers_.push_back({set, {call_.header.space, slots_[page].offset, slots_[page].version}});
      partly_put_ = true;
    }
  }

  void AfterTier(Tier tier, std::vector<size_t> pages) {
    if (tier == Tier::kCompressed) {
      PutTier(Tier::kPhysical, std::move(pages));
      return;
    }
    no_room_ = std::move(pages);
    if (call_.whole && (refused_code_ != PageCode::kUnset || !no_room_.empty())) {
      EndPartlyPlaced();
      return;
    }
    Log();
  }

  // Some pages of a store of all or nothing are not placed: nothing was logged yet.
  void EndPartlyPlaced() {
    hold_ = nullptr;  // what this store holds twice is no room that others will give back
    if (refused_code_ == PageCode::kUnset && WaitForRoom()) {
      return;
    }
    for (const size_t page : no_room_) {
      Refuse(page, NoRoomCode());
    }
    codes_.assign(codes_.size(), refused_code_);
    Undo();
    shard_->Finish(request_, {Status(), codes_, 0, {}});
  }

  PageCode NoRoomCode() const {
    return unavailable_ ? PageCode::kUnavailable : PageCode::kResourceExhausted;
  }

  // Nothing of the pages that were placed may be seen; every slot that was begun is settled.
  void Undo() {
    for (const SlotRecord& record : records_) {
      const Word word(record.word);
      if (word.stored()) {
        leftovers_.push_back({word.set(), {record.space, record.offset, word.version()}});
      }
      refused_.push_back({record.offset, word.version(), {}});
    }
    shard_->Abandon(call_.header.space, refused_);
    context_.releaser.Release(std::move(leftovers_));
  }

  void Log() {
    if (records_.empty()) {
      OnPublished(Status(), {}, std::exchange(hold_, nullptr));
      return;
    }
    // The hold ends with the deletion of what these words replace, so that waiting stores go on
    // then.
    const Status status =
        shard_->Enqueue(call_.header.space, call_.header.token, records_,
                        [self = shared_from_this(), hold = std::exchange(hold_, nullptr)](
                            Status logged, std::vector<Retired> retired) mutable {
                          self->OnPublished(std::move(logged), std::move(retired), std::move(hold));
                        });
    if (!status.ok()) {
      Fence(status);
      return;
    }
  }

  // The space was opened again while the pages were on their way.
  void Fence(const Status& status) {
    ++context_.counters.stores_fenced;
    for (const size_t page : no_room_) {
      refused_.push_back(slots_[page]);
    }
    Undo();
    shard_->Finish(request_, {status, {}, 0, {}});
  }

  void OnPublished(Status status, std::vector<Retired> retired,
                   std::shared_ptr<OverlapGate::Hold> hold) {
    if (!status.ok()) {
      shard_->Finish(request_, {std::move(status), {}, 0, {}});
      return;
    }
    if (!records_.empty()) {
      CountStored();
      RepairIfStarted(context_, starts_before_, *shard_, records_);
      std::ranges::move(records_, std::back_inserter(placed_));
      records_.clear();
      rounds_ = fruitless_ = 0;
    }
    ReleaseLeftovers();
    context_.releaser.Release(std::move(retired), std::move(hold));
    if (WaitForRoom()) {
      return;
    }
    for (const size_t page : no_room_) {
      Refuse(page, NoRoomCode());
    }
    shard_->Abandon(call_.header.space, refused_);
    shard_->Finish(request_, {Status(), codes_, 0, {}});
  }

  // A leftover has the name of the record that was kept at last on another set: they may share
  // nodes.
  void ReleaseLeftovers() {
    std::map<NodeId, std::vector<PageName>> by_node;
    for (const Retired& leftover : std::exchange(leftovers_, {})) {
      const auto placed = std::ranges::find(placed_, leftover.name.offset, &SlotRecord::offset);
      for (const Placement::Copy& copy : context_.placement.CopiesOf(leftover.set)) {
        if (placed == placed_.end() ||
            !context_.placement.Keeps(copy.member->id, Word(placed->word).set())) {
          by_node[copy.member->id].push_back(leftover.name);
        }
      }
    }
    for (auto& [node, names] : by_node) {
      context_.releaser.ReleaseAt(node, std::move(names));
    }
  }

  void CountStored() {
    for (const SlotRecord& record : records_) {
      const Word word(record.word);
      context_.counters.stores_degraded += word.stored() && context_.placement.Degraded(word.set());
      switch (word.kind()) {
        case Backing::kCompressed:
          ++context_.counters.stored_compressed;
          break;
        case Backing::kPhysical:
          ++context_.counters.stored_physical;
          break;
        default:
          ++context_.counters.stored_zero;
          break;
      }
    }
  }

  // A page that overwrites a kept one needs at most the growth; if none but the overlap reserve was
  // short, room is coming from the stores that use it now. And room is coming to any page from
  // frees that were answered.
  bool WaitForRoom() {
    // The version of a page that some node may hold must not be put again: its deletion may be
    // under way.
    if (no_room_.empty() || partly_put_ || rounds_ >= kRoundsMax || fruitless_ > kFruitlessMax) {
      return false;
    }
    const bool overwrites = std::ranges::any_of(
        no_room_, [&](size_t page) { return slots_[page].current.word.stored(); });
    const auto again = [self = shared_from_this()](std::shared_ptr<OverlapGate::Hold> hold,
                                                   bool room_came) {
      self->fruitless_ = room_came ? 0 : self->fruitless_ + 1;
      self->hold_ = std::move(hold);
      self->TryAgain();
    };
    if (context_.gate.WaitForRelease(overwrites, again)) {
      ++context_.counters.overlap_waits;
      return true;
    }
    if (context_.gate.Returns(overwrites) == returns_before_[overwrites]) {
      return false;
    }
    // It came between the refusal and now.
    context_.executor.Post([self = shared_from_this()] { self->TryAgain(); });
    return true;
  }

  void TryAgain() {
    std::vector<size_t> pages = std::move(no_room_);
    for (const size_t page : pages) {
      slots_[page].current = shard_->Lookup(call_.header.space, slots_[page].offset);
    }
    Round(std::move(pages));
  }

  void Refuse(size_t page, PageCode code) {
    codes_[page] = code;
    refused_code_ = code;
    if (slots_[page].refused == PageCode::kUnset) {
      refused_.push_back(slots_[page]);
    }
    switch (code) {
      case PageCode::kInvalid:
        ++context_.counters.rejected_invalid;
        break;
      case PageCode::kCorrupt:
        ++context_.counters.rejected_corrupt;
        break;
      case PageCode::kUnavailable:
        ++context_.counters.rejected_unavailable;
        break;
      case PageCode::kNotFound:
        ++context_.counters.rejected_not_found;
        break;
      case PageCode::kFailedPrecondition:
        ++context_.counters.rejected_shared;
        break;
      default:
        ++context_.counters.rejected_no_room;
        break;
    }
  }

  const FrontEndContext context_;
  const std::shared_ptr<Shard> shard_;
  const StoreCall call_;
  std::shared_ptr<Request> request_;
  std::vector<BegunSlot> slots_;              // one a page
  std::vector<PageCode> codes_;               // one a page
  std::vector<SlotRecord> records_;           // placed in this round, to be logged
  std::vector<SlotRecord> placed_;            // in earlier rounds
  std::vector<Retired> leftovers_;            // records that no word will name
  std::vector<SetId> tried_;                  // of the tier, in this round
  std::vector<size_t> incompressible_;        // pages that no set of the tier would keep
  std::vector<size_t> no_room_;               // pages of this round that found no room in any tier
  std::vector<BegunSlot> refused_;            // to be abandoned at the end
  PageCode refused_code_ = PageCode::kUnset;  // of a page that was refused
  std::shared_ptr<OverlapGate::Hold> hold_;   // while pages of this round overwrite
  int rounds_ = 0;                            // since the last that placed a page
  int fruitless_ = 0;
  bool unavailable_ = false;                  // some node's effect is unknown
  bool unreached_ = false;                    // a node of the set that was tried last
  bool partly_put_ = false;                   // some leftover's record may exist
  std::array<uint64_t, 2> returns_before_{};  // this round: see OverlapGate::Returns
  const uint64_t starts_before_ = context_.counters.node_starts;  // its puts
};

}  // namespace

void StorePages(const FrontEndContext& context, std::shared_ptr<Shard> shard, StoreCall call,
                MutationDone done) {
  std::make_shared<StoreOp>(context, std::move(shard), std::move(call))->Start(std::move(done));
}

}  // namespace vswap
