#pragma once

#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "services/cluster/node.h"
#include "services/cluster/table_log.h"
#include "tests/model/history.h"

namespace vswap {

// Which pages the faults of a run may have cost: those of which every copy was destroyed.
//
// A word that a log took says that each node of its set has kept the page. So however few of them
// really did, only the destruction of a copy on every one of them is an excuse for losing it. What
// no log took is behind no entry, and what becomes of it costs nothing.
//
// Thread-confined.
class PageCopies {
 public:
  // `on_lost`: the last copy of a page with this content is destroyed.
  PageCopies(std::function<std::vector<NodeId>(SetId)> nodes_of,
             std::function<void(const PageName&, History::Content)> on_lost)
      : nodes_of_(std::move(nodes_of)), on_lost_(std::move(on_lost)) {}

  // A log took it: entries may have these words from now on.
  void NoteLogged(const LogWrite& write);
  void NoteDestroyed(NodeId node, const PageName& name, History::Content content);
  // Whether no copy of it was.
  bool IsWhole(const PageName& name) const { return !destroyed_.contains(name); }

 private:
  struct Destroyed {
    History::Content content = 0;
    std::set<NodeId> nodes;
  };
  void Judge(const PageName& name);

  const std::function<std::vector<NodeId>(SetId)> nodes_of_;
  const std::function<void(const PageName&, History::Content)> on_lost_;
  std::map<PageName, SetId> sets_;  // of what a log took
  std::map<PageName, Destroyed> destroyed_;
};

}  // namespace vswap
