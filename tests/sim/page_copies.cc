#include "tests/sim/page_copies.h"

#include <algorithm>

#include "services/frontend/backing.h"

namespace vswap {

void PageCopies::NoteLogged(const LogWrite& write) {
  for (const SlotRecord& slot : write.slots) {
    const Word word(slot.word);
    const PageName name{slot.space, slot.offset, word.version()};
    if (word.stored() && sets_.try_emplace(name, word.set()).second) {
      Judge(name);
    }
  }
}

void PageCopies::NoteDestroyed(NodeId node, const PageName& name, History::Content content) {
  Destroyed& destroyed = destroyed_[name];
  destroyed.content = content;
  destroyed.nodes.insert(node);
  Judge(name);
}

void PageCopies::Judge(const PageName& name) {
  const auto destroyed = destroyed_.find(name);
  const auto set = sets_.find(name);
  if (destroyed == destroyed_.end() || set == sets_.end()) {
    return;
  }
  const std::vector<NodeId> nodes = nodes_of_(set->second);
  if (std::ranges::all_of(nodes,
                          [&](NodeId node) { return destroyed->second.nodes.contains(node); })) {
    on_lost_(name, destroyed->second.content);
  }
}

}  // namespace vswap
