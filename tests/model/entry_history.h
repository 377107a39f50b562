#pragma once

#include <map>
#include <string>
#include <vector>

#include "client/results.h"
#include "services/common/status.h"
#include "tests/model/history.h"
#include "tests/model/space_under_test.h"

namespace vswap {

// What the entries of one allocated space may be, told from what was asked and answered, and when:
// who holds references, and, by a History, what pages hold.
//
// The caller is a program that keeps count: it frees only references that it was given, and only
// once; what it stores to or duplicates keeps a reference until the answer. So the outcome of each
// change of references is known beforehand. A slot is surely live from the answer that hands it out
// until its last reference is given up; it may be live until the answer to that; and while an
// allocation is under way any slot that is not surely live may be a new entry, with zeros.
//
// Requests may also name slots that are gone, if no allocation is under way until their answers.
//
// Externally synchronised. Time is the order of the calls of this class.
class EntryHistory {
 public:
  // A slot of a request, as it was when the request began.
  struct Use {
    Offset offset = 0;
    bool gone = false;
    uint64_t life = 0;
    History::WriteId write = 0;  // of a store
  };
  using Uses = std::vector<Use>;
  struct Load {
    uint64_t began = 0;
    History::LoadId contents = 0;
  };

  // `loss_allowed`: a page may be lost that is not zeros.
  EntryHistory(SpaceId space, uint64_t space_pages, bool loss_allowed = false)
      : space_(space), space_pages_(space_pages), loss_allowed_(loss_allowed), contents_(space) {}

  void BeginAllocate() { ++allocations_; }
  void EndAllocate(uint32_t order, uint32_t count, const StatusOr<std::vector<Extent>>& extents);
  bool allocating() const { return allocations_ != 0; }

  Uses BeginDuplicate(const std::vector<Offset>& offsets);
  void EndDuplicate(const Uses& uses, const StatusOr<std::vector<PageCode>>& codes);
  Uses BeginFree(const std::vector<Offset>& offsets);
  void EndFree(const Uses& uses, const StatusOr<uint64_t>& count);

  History::Content NewContent() { return contents_.NewContent(); }
  Use BeginStore(Offset offset, History::Content content);
  struct StoreKind {
    bool whole = false;
    bool owners_change = false;  // whoever refuses it may not be the only one that had it
    bool over = false;           // what is not known to be done by now will never be
  };
  void EndStore(const Uses& uses, const StatusOr<std::vector<PageCode>>& codes,
                const StoreKind& kind);

  Load BeginLoad() { return {now_++, contents_.BeginLoad()}; }
  void CheckPages(const Load& load, const std::vector<Offset>& offsets,
                  const std::vector<LoadedPage>& pages);
  // Whether the load may find the entry live, and this content in it.
  bool MayHold(const Load& load, Offset offset, History::Content content) const {
    return MayBeLiveSince(offset, load.began) &&
           contents_.MayReturn(load.contents, offset, content);
  }
  // Whether slots of one backing, or of several, are what the folio may have been.
  void CheckUnmixed(const Load& load, Extent folio, bool mixed);
  void CheckBacking(const Load& load, Extent extent, const SlotRun& run);
  void EndLoad(const Load& load) { contents_.EndLoad(load.contents); }

  // For whoever chooses what to do next.
  bool Any(Offset) const { return true; }
  bool SurelyLive(Offset offset) const;
  bool SurelyGone(Offset offset) const;
  // Live, with few references.
  bool MayShare(Offset offset) const;
  bool MayShareOrGone(Offset offset) const { return MayShare(offset) || SurelyGone(offset); }
  bool LiveOrGone(Offset offset) const { return SurelyLive(offset) || SurelyGone(offset); }
  // Live, and a reference may be given up.
  bool MayDrop(Offset offset) const;
  bool MayDropOrGone(Offset offset) const { return MayDrop(offset) || SurelyGone(offset); }
  uint32_t References(Offset offset) const;
  // That were ever handed out.
  std::vector<Offset> Slots() const;
  std::vector<Offset> LiveSlots() const;
  uint64_t references() const { return references_; }

  // What is wrong, one line each, at most 20 of each kind.
  std::vector<std::string> wrong() const;
  uint64_t pages_checked() const { return contents_.pages_checked(); }

 private:
  using Time = uint64_t;
  struct Slot {
    uint64_t life = 0;       // times that it was handed out
    uint32_t held = 0;       // references that the caller has and has not given up
    uint32_t adding = 0;     // duplicates under way
    uint32_t dropping = 0;   // frees under way
    uint32_t users = 0;      // stores and duplicates under way
    Time given = 0;          // handed out
    Time gone = 0;           // the last reference's free was answered
    bool maybe_one = false;  // while it had users: whether it may have had one reference, or more
    bool maybe_more = false;
  };

  Use Begin(Offset offset);
  // The use's slot; null if it was gone.
  Slot* Find(const Use& use);
  static void AddUser(Slot& slot);
  static void Note(Slot& slot);
  void Give(Offset offset);
  void EndDrop(const Use& use, bool done);
  bool LiveSince(Offset offset, Time began) const;
  bool MayBeLiveSince(Offset offset, Time began) const;
  bool MayBeNewSince(Offset offset, Time began) const;
  void CheckPage(const Load& load, Offset offset, const LoadedPage& page);
  // What the slot surely was, all the time since the load began.
  enum class Surely { kNothing, kGone, kZeros, kOther };
  Surely SurelyWas(const Load& load, Offset offset) const;
  void Wrong(Offset offset, const std::string& what);

  const SpaceId space_;
  const uint64_t space_pages_;
  const bool loss_allowed_;
  History contents_;
  Time now_ = 1;
  uint32_t allocations_ = 0;      // under way
  Time allocation_answered_ = 0;  // the last one
  uint64_t references_ = 0;
  std::map<Offset, Slot> slots_;
  std::vector<std::string> wrong_;
};

}  // namespace vswap
