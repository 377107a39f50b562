#pragma once

#include <map>
#include <optional>
#include <vector>

#include "services/cluster/node.h"

namespace vswap {

enum class Tier : uint8_t { kCompressed = 1, kPhysical = 2 };

// Which nodes there are, which sets they form, and which set takes a new page.
//
// Immutable once serving, so it needs no lock. The nodes are owned elsewhere and outlive it.
class Placement {
 public:
  struct Member {
    NodeId id = 0;
    Tier tier = Tier::kCompressed;
    std::string name;
    Incarnation incarnation =
        0;  // the one registered; a "not found" of another one is not believed
    Node* node = nullptr;
  };

  void AddNode(Member member) { members_[member.id] = std::move(member); }
  void AddSet(SetId set, Tier tier, std::vector<NodeId> nodes);

  // The set for a new page of the tier; empty if the tier has none.
  std::optional<SetId> Choose(Tier tier) const;
  // The nodes that keep copies of the set's pages; empty for a set nobody knows.
  const std::vector<const Member*>& NodesOf(SetId set) const;
  std::optional<Tier> TierOf(SetId set) const;
  const std::map<NodeId, Member>& members() const { return members_; }
  std::vector<SetId> SetsWith(NodeId node) const;

 private:
  struct Set {
    Tier tier = Tier::kCompressed;
    std::vector<const Member*> nodes;
  };
  std::map<NodeId, Member> members_;
  std::map<SetId, Set> sets_;
};

}  // namespace vswap
