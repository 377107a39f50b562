#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "services/common/status.h"
#include "tests/model/history.h"

namespace vswap {

// What one device space may hold and whom it may answer, over all attachments: a History, to which
// it adds what attachments, given-up requests and destroyed nodes mean for it.
//
// The clients never have two changes of one slot under way in one attachment. A change that is
// given up, or whose attachment was replaced, stays undecided until the next change of the slot
// begins, or until the new attachment is there: the service must not do it after that.
//
// Thread-confined. Time is the order of the calls.
class SpaceOracle {
 public:
  struct Change {
    Token token = 0;
    std::vector<Offset> offsets;
    std::vector<History::WriteId> writes;
    std::vector<bool> decided;
    bool given_up = false;
  };
  using ChangePtr = std::shared_ptr<Change>;
  struct Load {
    Token token = 0;
    bool fenced = false;  // the attachment had been replaced when it began
    History::LoadId id = 0;
  };

  explicit SpaceOracle(SpaceId space) : space_(space), history_(space) {}

  SpaceId space() const { return space_; }
  History::Content NewContent() { return history_.NewContent(); }

  // A store of these contents, or a free, where they are 0.
  ChangePtr BeginChange(Token token, const std::vector<Offset>& offsets,
                        const std::vector<History::Content>& contents);
  void EndPage(Change& change, size_t page, History::Outcome outcome);
  // Whoever asked waits for the answer no longer.
  static void GiveUp(Change& change) { change.given_up = true; }
  // An attachment that was replaced must not be told that its change was done.
  void CheckDone(const Change& change);

  Load BeginLoad(Token token);
  void CheckPage(const Load& load, Offset offset, const PageBytes& bytes);
  void CheckLost(const Load& load, Offset offset);
  void EndLoad(const Load& load) { history_.EndLoad(load.id); }

  // An open was answered: older attachments can do nothing any more.
  void Attached(Token token);
  // A record with this content of a slot was destroyed, which its entry may name.
  void Destroyed(Offset offset, History::Content content) { destroyed_[offset].insert(content); }

  std::vector<Offset> SlotsWritten() const { return history_.SlotsWritten(); }
  std::vector<std::string> wrong() const;
  uint64_t pages_checked() const { return history_.pages_checked(); }

 private:
  void Wrong(Offset offset, const std::string& what);

  const SpaceId space_;
  History history_;
  Token attached_ = 0;
  std::vector<ChangePtr> undecided_;
  std::map<Offset, std::set<History::Content>> destroyed_;
  std::vector<std::string> wrong_;
};

}  // namespace vswap
