#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "tests/support/page_bytes.h"

namespace vswap {

// What the slots of one space may hold, told from what was asked and answered, and when: the oracle
// of the model tests.
//
// A load may return any write (store or free) that can still be the last one: that began before the
// load ended, and that no write has overwritten for certain which began after it had ended. A write
// is certain once it was acknowledged or once a load returned it. A write that a load has found
// replaced does not come back.
//
// Bad at: proving that a history is linearizable; it finds what a host would call a wrong page.
// Externally synchronised. Time is the order of the calls of this class.
class History {
 public:
  // Numbers contents; 0 is the zero page, and every slot's content in the beginning.
  using Content = uint64_t;
  using WriteId = uint64_t;

  // Names itself: the number and the slot are in it, and every byte follows from them.
  static PageBytes MakeContent(SpaceId space, Offset offset, Content content, bool shrinks);
  // Which one such a page says it is.
  static Content ContentOf(const PageBytes& bytes);

  explicit History(SpaceId space) : space_(space) {}

  // A content never used before, not 0.
  Content NewContent() { return next_content_++; }
  WriteId BeginWrite(Offset offset, Content content);
  enum class Outcome { kApplied, kMaybe, kOver, kNot };
  // kMaybe: it was or was not, and nothing that begins now comes before it. kOver: it was or was
  // not, but will not be from now on.
  void EndWrite(Offset offset, WriteId write, Outcome outcome);

  using LoadId = uint64_t;
  LoadId BeginLoad();
  // One of the load's pages. Before EndLoad.
  void CheckPage(LoadId load, Offset offset, const PageBytes& bytes);
  // What the load may find there if it looks between its beginning and now.
  struct Candidates {
    bool zeros = false;
    bool others = false;
  };
  Candidates MayReturn(LoadId load, Offset offset) const;
  // Whether it may find this content.
  bool MayReturn(LoadId load, Offset offset, Content content) const;
  void EndLoad(LoadId load);

  // Slots that a load may find to be something else than zero.
  std::vector<Offset> SlotsWritten() const;
  // What a host would call wrong pages, one line each, at most 20.
  const std::vector<std::string>& wrong_pages() const { return wrong_pages_; }
  uint64_t pages_checked() const { return pages_checked_; }

 private:
  using Time = uint64_t;
  static constexpr Time kNever = std::numeric_limits<Time>::max();
  struct Write {
    WriteId id = 0;
    Content content = 0;
    Time began = 0;
    Time ended = kNever;     // answered
    Time observed = kNever;  // the first load that returned it ended
    Time replaced = kNever;  // a load ended that found another one in its place
    bool applied = false;
    bool over = false;  // applied or not, it will not be after `ended`
    bool not_applied = false;
    Time certain_at() const { return std::min(applied ? ended : kNever, observed); }
    Time over_at() const { return std::min(ended, observed); }
  };

  bool MayReturn(const std::vector<Write>& writes, const Write& write, Time load_began) const;
  void Observe(std::vector<Write>& writes, Write& write, Time load_began);
  static std::string Describe(const std::vector<Write>& writes);
  void Prune(std::vector<Write>& writes);
  void Wrong(Offset offset, const std::string& what);

  const SpaceId space_;
  Time now_ = 1;
  Content next_content_ = 1;
  WriteId next_write_ = 1;
  std::map<LoadId, Time> loads_;  // under way
  std::map<Offset, std::vector<Write>> slots_;
  std::vector<std::string> wrong_pages_;
  uint64_t pages_checked_ = 0;
};

}  // namespace vswap
