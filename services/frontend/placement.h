#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "services/cluster/node.h"
#include "services/common/executor.h"
#include "services/common/mutex.h"
#include "services/frontend/backing.h"

namespace vswap {

struct CircuitCounters;

// How long calls take: smoothed, and its smoothed deviation, as TCP's (RFC 6298). Thread-safe;
// races lose a measurement at worst.
class CallTime {
 public:
  void Note(Duration took);
  // 0: none was measured.
  Duration smoothed() const { return Duration(static_cast<int64_t>(time_)); }
  // Longer than nearly all calls take.
  Duration LongerThanUsual() const {
    return Duration(static_cast<int64_t>(time_ + 4 * deviation_));
  }

 private:
  std::atomic<double> time_{0};  // in nanoseconds, as the next
  std::atomic<double> deviation_{0};
};

enum class Tier : uint8_t { kCompressed = 1, kPhysical = 2 };

// What a page on the tier's nodes is behind its entry.
constexpr Backing BackingOn(Tier tier) {
  return tier == Tier::kCompressed ? Backing::kCompressed : Backing::kPhysical;
}

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
    bool draining = false;
    uint64_t drain_rate = 0;                   // pages a second of the whole cluster; 0: no limit
    const CircuitCounters* circuit = nullptr;  // of what is in front of it; null: nothing is
    bool left = false;                         // for good, until it registers again
  };
  struct Member {
    explicit Member(const NodeInfo& info)
        : id(info.id),
          tier(info.tier),
          name(info.name),
          node(info.node),
          circuit(info.circuit),
          incarnation(info.incarnation),
          draining(info.draining),
          drain_rate(info.drain_rate),
          left(info.left),
          answers(!info.left) {}

    const NodeId id;
    const Tier tier;
    const std::string name;
    Node* const node;
    const CircuitCounters* const circuit;
    std::atomic<Incarnation> incarnation;
    std::atomic<bool> draining{false};
    std::atomic<uint64_t> drain_rate{0};
    std::atomic<bool> left{false};
    // What was last heard of it: hints for Choose, nothing rests on them.
    mutable std::atomic<bool> answers{true};
    mutable std::atomic<bool> dead{false};     // silent for so long that its copies are made anew
    mutable std::atomic<uint64_t> started{0};  // FrontEndCounters::node_starts as of its last start
    mutable std::atomic<double> fill{0};       // see FillOf
    mutable CallTime loads;                    // of the demand lane
    mutable CallTime puts;

    // Longer than nearly all loads take: what has not come by then is asked of another copy.
    Duration HedgeAfter() const;
  };
  // One node of a set.
  struct Copy {
    const Member* member = nullptr;
    Incarnation incarnation = 0;  // the one that keeps the set's pages; 0: whichever it is

    // Whether what it kept is known to be gone with its incarnation.
    bool destroyed() const { return incarnation != 0 && incarnation != member->incarnation; }
    // Whether it does not count as a copy: destroyed, or its node is dead or has left.
    bool gone() const { return destroyed() || member->dead || member->left; }
    // Whether an answer comes from who keeps, or would keep, the set's pages.
    bool IsFrom(Incarnation answered) const {
      return answered == member->incarnation && !destroyed();
    }
  };

  Placement();
  Placement(Placement&&) noexcept;
  ~Placement();

  // Copies wanted of each page of the tier: 1 unless told.
  void Want(Tier tier, uint32_t copies);
  uint32_t wanted(Tier tier) const;
  struct SetInfo {
    SetId set = 0;
    Tier tier = Tier::kCompressed;
    std::vector<NodeId> nodes;
    std::vector<Incarnation> incarnations = {};  // one a node, or none
  };

  // Adds a node, or tells the incarnation of one that is there: an earlier one is known to be
  // destroyed then. A node that drains takes no new pages while there are others; one that has left
  // takes none, and nobody asks it but for pages that have no other copy.
  void AddNode(const NodeInfo& info);
  // Those that are not there yet. Their nodes are.
  void AddSets(const std::vector<SetInfo>& sets);
  void AddSet(SetId set, Tier tier, const std::vector<NodeId>& nodes,
              const std::vector<Incarnation>& incarnations = {}) {
    AddSets({{set, tier, nodes, incarnations}});
  }

  // The set for a new page of the tier: one of those that keep the most copies wanted on nodes that
  // answer, in turn. Those take the more pages the more room they have, but an empty one only twice
  // as many as the others, so that a node that has just come is not run over; few if puts to their
  // nodes take long; and none if they are so full that pages would be written back, while there are
  // others. Empty if there is none but `tried`.
  std::optional<SetId> Choose(Tier tier, std::span<const SetId> tried = {}) const;
  // Copies of a page of the set that last: on nodes that are neither gone (dead, or left) nor to be
  // emptied, up to as many as are wanted.
  uint32_t LastingCopies(SetId set) const;
  // A set to move the pages of `set` to, so that they have more lasting copies. Empty: there is
  // none, or none is wanted.
  std::optional<SetId> ChooseBetter(SetId set) const;
  // A set of the tier to move the pages of `set` to, that costs them no lasting copy but those that
  // the tier does not want. Empty: there is none now.
  std::optional<SetId> ChooseAsGood(SetId set, Tier tier) const;
  // Whether the set has fewer lasting copies than are wanted; not one that nobody knows.
  bool Degraded(SetId set) const;
  std::vector<SetId> DegradedSets() const;
  // Whether it would have as many as are wanted if no node drained.
  bool OnlyDrains(SetId set) const;
  // These, and those that would be if the nodes that do not answer were dead: a loss more may cost
  // pages.
  std::vector<SetId> SetsAtRisk() const;
  // Who keeps copies of the set's pages; empty for a set nobody knows.
  const std::vector<Copy>& CopiesOf(SetId set) const;
  std::optional<Tier> TierOf(SetId set) const;
  // Null: nobody knows it.
  const Member* Find(NodeId node) const;
  // Those that have not left, in the order of their ids.
  std::vector<const Member*> Members() const;
  // Whose pages the node's present incarnation may keep.
  std::vector<SetId> SetsWith(NodeId node) const;
  // Whether it may keep pages of the set; not of one that nobody knows.
  bool Keeps(NodeId node, SetId set) const;
  // Whether a node may keep pages of both.
  bool ShareNode(SetId a, SetId b) const;

 private:
  struct Set {
    Tier tier = Tier::kCompressed;
    std::vector<Copy> copies;
  };
  struct Table {
    std::map<NodeId, Member*> members;
    std::map<SetId, Set> sets;
  };
  struct State;
  const Table& Now() const;
  const Set* FindSet(SetId set) const;
  static bool Keeps(NodeId node, const Set& set);
  uint32_t LastingCopies(const Set& set) const;
  struct Candidate;
  // The next in turn, each as often as is its weight.
  const Candidate& TakeTurn(const std::vector<Candidate>& candidates) const;
  bool Degraded(const Set& set) const { return LastingCopies(set) < wanted(set.tier); }

  std::unique_ptr<State> state_;
};

// The copy to ask next, and notes that it is asked (a bit each): one of a node that answers if
// there is one, else from `first` on. Null: none is left.
const Placement::Copy* NextCopy(const std::vector<Placement::Copy>& copies, size_t first,
                                uint32_t* asked);

}  // namespace vswap
