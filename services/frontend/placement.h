#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "services/cluster/node.h"
#include "services/common/mutex.h"

namespace vswap {

enum class Tier : uint8_t { kCompressed = 1, kPhysical = 2 };

// Which nodes there are, which sets they form, and which set takes a new page.
//
// Nodes and sets come and never go: references to them stay valid. Readers take no lock: each
// change makes a new table, and the old ones stay, as many as there were changes. The nodes are
// owned elsewhere and outlive it. Thread-safe.
class Placement {
 public:
  struct NodeInfo {
    NodeId id = 0;
    Tier tier = Tier::kCompressed;
    std::string name;
    // The one registered; a "not found" of another one is not believed.
    Incarnation incarnation = 0;
    Node* node = nullptr;
  };
  struct Member {
    explicit Member(const NodeInfo& info)
        : id(info.id),
          tier(info.tier),
          name(info.name),
          node(info.node),
          incarnation(info.incarnation) {}

    const NodeId id;
    const Tier tier;
    const std::string name;
    Node* const node;
    std::atomic<Incarnation> incarnation;
    // What was last heard of it: hints for Choose, nothing rests on them.
    mutable std::atomic<bool> answers{true};
    mutable std::atomic<double> fill{0};  // see FillOf
  };

  Placement();
  Placement(Placement&&) noexcept;
  ~Placement();

  // Adds a node, or tells the incarnation of one that is there: an earlier one is known to be
  // destroyed then.
  void AddNode(const NodeInfo& info);
  // Nothing where the set is there already. Its nodes are.
  void AddSet(SetId set, Tier tier, const std::vector<NodeId>& nodes);

  // The set for a new page of the tier: of those whose nodes answer one of the emptiest, in turn.
  // Empty if there is none but `tried`.
  std::optional<SetId> Choose(Tier tier, std::span<const SetId> tried = {}) const;
  // The nodes that keep copies of the set's pages; empty for a set nobody knows.
  const std::vector<const Member*>& NodesOf(SetId set) const;
  std::optional<Tier> TierOf(SetId set) const;
  // Null: nobody knows it.
  const Member* Find(NodeId node) const;
  // In the order of their ids.
  std::vector<const Member*> Members() const;
  std::vector<SetId> SetsWith(NodeId node) const;

 private:
  struct Set {
    Tier tier = Tier::kCompressed;
    std::vector<const Member*> nodes;
  };
  struct Table {
    std::map<NodeId, Member*> members;
    std::map<SetId, Set> sets;
  };
  struct State;
  const Table& Now() const;

  std::unique_ptr<State> state_;
};

}  // namespace vswap
