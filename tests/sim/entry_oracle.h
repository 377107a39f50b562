#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "services/frontend/request_windows.h"
#include "tests/model/entry_history.h"

namespace vswap {

// What the entries of one allocated space may be and whom it may answer, over all attachments: an
// EntryHistory, to which it adds what attachments and destroyed nodes mean for it.
//
// The history rests on a caller who learns the outcome of every change of references. A client that
// is killed or replaced with changes under way does not; so whoever comes after it surveys the
// space before its first request: nothing changes there meanwhile, so what it finds says of each of
// these changes whether it was done. It must have been done as a whole or not at all, and the
// entries must be exactly those that follow.
//
// For that, a client never has two changes of a slot under way, nor two allocations, nor an
// allocation and a free of a last reference: nobody could tell which one a slot is from.
//
// Thread-confined. Time is the order of the calls.
class EntryOracle {
 public:
  enum class Kind : uint8_t { kAllocate, kDuplicate, kFree, kStore };
  struct Change {
    Kind kind = Kind::kStore;
    Token token = 0;
    uint32_t order = 0;  // of an allocation
    uint32_t count = 0;
    EntryHistory::Uses uses;
    bool fenced = false;  // the attachment had been replaced when it began: the history knows none
    bool decided = false;
    bool done = false;  // where it was decided
  };
  using ChangePtr = std::shared_ptr<Change>;
  struct Load {
    bool fenced = false;
    EntryHistory::Load at;
  };
  using References = std::map<Offset, uint32_t>;  // of all entries

  EntryOracle(SpaceId space, uint64_t space_pages) : space_(space), history_(space, space_pages) {}

  // For whoever chooses what to do next.
  const EntryHistory& history() const { return history_; }
  History::Content NewContent() { return history_.NewContent(); }

  ChangePtr BeginAllocate(Token token, uint32_t order, uint32_t count);
  // Of live entries.
  ChangePtr BeginDuplicate(Token token, const std::vector<Offset>& offsets);
  ChangePtr BeginFree(Token token, const std::vector<Offset>& offsets);
  ChangePtr BeginStore(Token token, const std::vector<Offset>& offsets,
                       const std::vector<History::Content>& contents);
  void End(Change& change, const MutationResult& result, const EntryHistory::StoreKind& kind = {});

  Load BeginLoad(Token token) { return {token < attached_, history_.BeginLoad()}; }
  void CheckPage(const Load& load, Offset offset, const LoadedPage& page);
  void CheckLost(const Load& load, Offset offset);
  void EndLoad(const Load& load) { history_.EndLoad(load.at); }

  // An open was answered: older attachments can do nothing any more.
  void Attached(Token token);
  // What this attachment has found before its first request.
  void Surveyed(Token token, const References& found);
  // Nothing is under way: these are the entries.
  void Compare(const References& found);
  // A record with this content of a slot was destroyed, which its entry may name.
  void Destroyed(Offset offset, History::Content content) { destroyed_[offset].insert(content); }

  // Changes of references of which a survey had to say whether they were done.
  uint64_t found_done() const { return found_done_; }
  uint64_t found_not_done() const { return found_not_done_; }
  std::vector<std::string> wrong() const;
  uint64_t pages_checked() const { return history_.pages_checked(); }

 private:
  ChangePtr Begin(Kind kind, Token token);
  void Decide(Change& change, const References& found);
  bool WasDone(const Change& change, const References& found);
  void DecideAllocation(Change& change, const References& found);
  void EndAllocate(const Change& change, const MutationResult& result);
  void Wrong(Offset offset, const std::string& what);

  const SpaceId space_;
  EntryHistory history_;
  Token attached_ = 0;
  std::vector<ChangePtr> undecided_;
  std::map<Offset, std::set<History::Content>> destroyed_;
  uint64_t found_done_ = 0;
  uint64_t found_not_done_ = 0;
  std::vector<std::string> wrong_;
};

}  // namespace vswap
