#include "tests/sim/space_oracle.h"

#include <algorithm>

namespace vswap {
namespace {

constexpr size_t kWrongMax = 20;

}  // namespace

SpaceOracle::ChangePtr SpaceOracle::BeginChange(Token token, const std::vector<Offset>& offsets,
                                                const std::vector<History::Content>& contents) {
  const auto change = std::make_shared<Change>();
  change->token = token;
  change->offsets = offsets;
  change->decided.assign(offsets.size(), false);
  if (token < attached_) {
    change->decided.assign(offsets.size(), true);  // it must never be seen: the history knows none
    change->writes.assign(offsets.size(), 0);
    return change;
  }
  for (const ChangePtr& other : undecided_) {
    for (size_t i = 0; other->given_up && i < other->offsets.size(); ++i) {
      if (std::ranges::find(offsets, other->offsets[i]) != offsets.end()) {
        EndPage(*other, i, History::Outcome::kMaybe);
      }
    }
  }
  std::erase_if(undecided_, [](const ChangePtr& other) {
    return std::ranges::find(other->decided, false) == other->decided.end();
  });
  for (size_t i = 0; i < offsets.size(); ++i) {
    change->writes.push_back(history_.BeginWrite(offsets[i], contents[i]));
  }
  undecided_.push_back(change);
  return change;
}

void SpaceOracle::EndPage(Change& change, size_t page, History::Outcome outcome) {
  if (!change.decided[page]) {
    change.decided[page] = true;
    history_.EndWrite(change.offsets[page], change.writes[page], outcome);
  }
}

void SpaceOracle::CheckDone(const Change& change) {
  if (change.writes.front() == 0) {
    Wrong(change.offsets.front(), "a change of an attachment that had been replaced was done");
  }
}

SpaceOracle::Load SpaceOracle::BeginLoad(Token token) {
  return {token, token < attached_, history_.BeginLoad()};
}

void SpaceOracle::CheckPage(const Load& load, Offset offset, const PageBytes& bytes) {
  if (load.fenced) {
    Wrong(offset, "an attachment that had been replaced got data");
  }
  history_.CheckPage(load.id, offset, bytes);
}

void SpaceOracle::CheckLost(const Load& load, Offset offset) {
  const auto destroyed = destroyed_.find(offset);
  const bool may_be = destroyed != destroyed_.end() &&
                      std::ranges::any_of(destroyed->second, [&](History::Content content) {
                        return history_.MayReturn(load.id, offset, content);
                      });
  if (!may_be) {
    Wrong(offset, "it was answered as lost, and nothing that it may hold was destroyed");
  }
}

void SpaceOracle::Attached(Token token) {
  if (token <= attached_) {
    return;
  }
  attached_ = token;
  std::erase_if(undecided_, [&](const ChangePtr& change) {
    if (change->token >= token) {
      return false;
    }
    for (size_t i = 0; i < change->offsets.size(); ++i) {
      EndPage(*change, i, History::Outcome::kOver);
    }
    return true;
  });
}

std::vector<std::string> SpaceOracle::wrong() const {
  std::vector<std::string> all = history_.wrong_pages();
  all.insert(all.end(), wrong_.begin(), wrong_.end());
  return all;
}

void SpaceOracle::Wrong(Offset offset, const std::string& what) {
  if (wrong_.size() < kWrongMax) {
    wrong_.push_back("space " + std::to_string(space_) + " offset " + std::to_string(offset) +
                     ": " + what);
  }
}

}  // namespace vswap
