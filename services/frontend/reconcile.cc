#include "services/frontend/reconcile.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "services/frontend/load_path.h"
#include "services/frontend/shard_table.h"

namespace vswap {
namespace {

constexpr uint32_t kInventoryNames = 4096;

class ReconcileJob : public std::enable_shared_from_this<ReconcileJob> {
 public:
  ReconcileJob(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
               std::vector<NodeId> nodes, std::function<void(std::vector<NodeId>)> done)
      : context_(context),
        shards_(std::move(shards)),
        done_(std::move(done)),
        nodes_(std::move(nodes)) {
    for (const auto& shard : shards_) {
      by_id_[shard->id()] = shard;
    }
  }

  void NextNode() {
    if (nodes_.empty()) {
      done_(std::move(skipped_));
      return;
    }
    for (const auto& shard : shards_) {
      shard->ClearSeen();
      issued_[shard->id()] = shard->next_version();
    }
    List("");
  }

 private:
  const Placement::Member& Node() const { return *context_.placement.Find(nodes_.back()); }

  void EndNode() {
    nodes_.pop_back();
    context_.executor.Post([self = shared_from_this()] { self->NextNode(); });
  }

  void List(std::string cursor) {
    Node().node->Inventory(std::move(cursor), kInventoryNames, /*verify=*/false,
                           [self = shared_from_this()](StatusOr<InventoryReply> reply) {
                             if (!reply.ok() || reply->incarnation != self->Node().incarnation) {
                               self->Node().answers = self->Node().answers && reply.ok();
                               self->skipped_.push_back(self->Node().id);
                               return self->EndNode();
                             }
                             self->Compare(*std::move(reply));
                           });
  }

  // A set may be new to this process: a record that an entry names on it is none to judge.
  bool MayBeNamed(const Shard& shard, NodeId node, const PageName& name) const {
    const Placement& placement = context_.placement;
    return shard.MayBeNamed(name, [&](SetId set) {
      return placement.Keeps(node, set) || placement.CopiesOf(set).empty();
    });
  }

  void Compare(InventoryReply reply) {
    const uint32_t count = context_.shards.count();
    std::map<ShardId, std::vector<PageName>> orphans;
    for (const PageName& name : reply.names) {
      const auto found = by_id_.find(ShardOf(name.space, name.offset, count));
      if (found == by_id_.end()) {
        continue;  // not ours to judge
      }
      Shard& shard = *found->second;
      if (MayBeNamed(shard, Node().id, name)) {
        shard.MarkSeen(name.space, name.offset, name.version);
      } else {
        orphans[shard.id()].push_back(name);
      }
    }
    for (auto& [id, names] : orphans) {
      const auto shard = by_id_.at(id);
      shard->Barrier([self = shared_from_this(), shard, node = Node().id,
                      names = std::move(names)](const Status& status) {
        if (status.ok()) {
          self->DeleteOrphans(*shard, node, names);
        }
      });
    }
    if (!reply.next_cursor.empty()) {
      context_.executor.Post(
          [self = shared_from_this(), cursor = reply.next_cursor] { self->List(cursor); });
      return;
    }
    FindUnlisted();
  }

  // On this node only: its other copies, and a put that went elsewhere under the same name, are no
  // orphans.
  void DeleteOrphans(const Shard& shard, NodeId node, const std::vector<PageName>& names) {
    std::vector<PageName> orphans;
    for (const PageName& name : names) {
      if (!MayBeNamed(shard, node, name)) {
        orphans.push_back(name);
      }
    }
    context_.counters.orphans_deleted += orphans.size();
    context_.releaser.ReleaseAt(node, std::move(orphans));
  }

  void FindUnlisted() {
    const std::vector<SetId> sets = context_.placement.SetsWith(Node().id);
    for (const auto& shard : shards_) {
      shard->Inspect([&](const EntryTable& table) {
        table.ForEach([&](SpaceId space, Offset offset, const Entry& entry) {
          if (entry.word.stored() && !entry.companion.seen() &&
              entry.word.version() < issued_.at(shard->id()) &&
              std::ranges::find(sets, entry.word.set()) != sets.end()) {
            suspects_[shard->id()].push_back({space, offset, entry});
          }
        });
      });
    }
    // The table has no order. In one, a batch holds as many of a space as it may, and equal tables
    // are asked about equally, which the simulation counts on. Taken from the end.
    for (auto& [id, list] : suspects_) {
      std::ranges::sort(list, std::greater(), [](const NamedEntry& suspect) {
        return std::pair(suspect.space, suspect.offset);
      });
      if (!RepairAll(id, list)) {
        skipped_.push_back(Node().id);
        suspects_.clear();
        return EndNode();
      }
    }
    NextSuspects();
  }

  // Those that have other copies; false where too many wait already.
  bool RepairAll(ShardId id, const std::vector<NamedEntry>& suspects) {
    return std::ranges::all_of(suspects, [&](const NamedEntry& suspect) {
      const Word word = suspect.entry.word;
      const Word now = by_id_.at(id)->Lookup(suspect.space, suspect.offset).word;
      if (now != word || context_.placement.CopiesOf(word.set()).size() == 1) {
        return true;
      }
      ++context_.counters.copies_missing;
      return context_.repairs.Add(id, suspect.space, suspect.offset, {suspect.entry});
    });
  }

  // Loads the suspects, a batch at a time: the load path finds out what they are and marks the lost
  // ones.
  void NextSuspects() {
    if (suspects_.empty()) {
      return EndNode();
    }
    const ShardId id = suspects_.begin()->first;
    std::vector<NamedEntry>& list = suspects_.begin()->second;
    LoadCall call;
    call.header.space = list.back().space;
    call.header.shard = id;
    call.header.lane = Lane::kBackground;
    while (!list.empty() && call.extents.size() < kBatchPagesMax &&
           list.back().space == call.header.space) {
      call.extents.push_back({list.back().offset, 1});
      list.pop_back();
    }
    if (list.empty()) {
      suspects_.erase(suspects_.begin());
    }
    VerifyPages(context_, by_id_.at(id), std::move(call), [self = shared_from_this()] {
      self->context_.executor.Post([self] { self->NextSuspects(); });
    });
  }

  const FrontEndContext context_;
  const std::vector<std::shared_ptr<Shard>> shards_;
  std::map<ShardId, std::shared_ptr<Shard>> by_id_;
  const std::function<void(std::vector<NodeId>)> done_;
  std::vector<NodeId> nodes_;  // still to compare
  std::vector<NodeId> skipped_;
  std::map<ShardId, std::vector<NamedEntry>> suspects_;
  std::map<ShardId, Version> issued_;  // before the node was listed
};

}  // namespace

void Reconcile(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
               std::vector<NodeId> nodes, std::function<void(std::vector<NodeId> skipped)> done) {
  std::make_shared<ReconcileJob>(context, std::move(shards), std::move(nodes), std::move(done))
      ->NextNode();
}

}  // namespace vswap
