#include "services/frontend/reconcile.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "services/common/mutex.h"
#include "services/common/silence.h"
#include "services/frontend/load_path.h"
#include "services/frontend/pace.h"
#include "services/frontend/shard_table.h"

namespace vswap {
namespace {

// As many as one Get may ask for.
constexpr uint32_t kInventoryNames = kBatchPagesMax;
// Looks at orphans under way, a batch of a shard's each; the listing waits for a place.
constexpr size_t kLooksUnderWayMax = 16;
// What is waited for a look to end, for its place, and for all of them once the node is listed;
// they go on.
constexpr Duration kLooksMax = std::chrono::seconds(5);

class ReconcileJob : public std::enable_shared_from_this<ReconcileJob> {
 public:
  ReconcileJob(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
               std::vector<NodeId> nodes, ReconcileOptions options,
               std::function<void(std::vector<NodeId>)> done)
      : context_(context),
        shards_(std::move(shards)),
        options_(std::move(options)),
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
      shard->ClearSeen(SeenBy::kComparison);
      issued_[shard->id()] = shard->next_version();
    }
    parts_ = std::make_shared<Parts>();
    stuck_.clear();
    orphans_left_ = false;
    List("");
  }

 private:
  const Placement::Member& Node() const { return *context_.placement.Find(nodes_.back()); }

  static bool Believed(const Placement::Member& node, size_t asked,
                       const StatusOr<GetReply>& reply) {
    return reply.ok() && reply->pages.size() == asked && reply->incarnation == node.incarnation;
  }

  // Of a listing.
  struct Piece {
    std::map<ShardId, std::vector<PageName>> orphans;  // to be looked at
    std::vector<PageName> named;
    std::string next_cursor;
    Duration pause{};  // after it
  };

  // What is under way for one node: the listing, and each look at orphans.
  struct Parts {
    Mutex mutex;
    size_t left GUARDED_BY(mutex) = 1;
    bool over GUARDED_BY(mutex) = false;
    std::multiset<ShardId> looks GUARDED_BY(mutex);  // those that hold a place
    std::optional<Piece> waiting GUARDED_BY(mutex);  // for one; the listing with it
    uint64_t waits GUARDED_BY(mutex) = 0;            // of a piece for a place
    bool watched GUARDED_BY(mutex) = false;          // whether it waits too long
  };

  // A shard whose log is out of reach holds it up for a while only.
  void EndNode() {
    nodes_.pop_back();
    const auto parts = parts_;  // the next node has others
    if (!EndPart(*parts)) {
      context_.executor.PostAfter(kLooksMax,
                                  [self = shared_from_this(), parts] { self->EndAll(*parts); });
    }
  }
  // Whether it was the last.
  bool EndPart(Parts& parts) {
    {
      MutexLock lock(parts.mutex);
      if (--parts.left != 0) {
        return false;
      }
    }
    EndAll(parts);
    return true;
  }
  void EndAll(Parts& parts) {
    {
      MutexLock lock(parts.mutex);
      if (std::exchange(parts.over, true)) {
        return;
      }
    }
    context_.executor.Post([self = shared_from_this()] { self->NextNode(); });
  }

  // It has not answered, or not as it should.
  void SkipUnheard(const Status& status) {
    if (IsSilence(status)) {
      Node().answers = false;  // until it is heard of again
    }
    Skip();
  }

  void Skip() {
    suspects_.clear();
    skipped_.push_back(Node().id);
    EndNode();
  }

  void List(std::string cursor) {
    if (options_.gives_way != nullptr && options_.gives_way()) {
      return Skip();
    }
    Node().node->Inventory(std::move(cursor), kInventoryNames,
                           [self = shared_from_this()](const StatusOr<InventoryReply>& reply) {
                             if (!reply.ok() || reply->incarnation != self->Node().incarnation) {
                               return self->SkipUnheard(reply.status());
                             }
                             self->Compare(*reply);
                           });
  }

  // A set may be new to this process: a record that an entry names on it is none to judge.
  bool MayBeNamed(const Shard& shard, NodeId node, const PageName& name) const {
    const Placement& placement = context_.placement;
    return shard.MayBeNamed(name, [&](SetId set) {
      return placement.Keeps(node, set) || placement.CopiesOf(set).empty();
    });
  }

  // The shard that the name is of; null: another front-end's, and not ours to judge.
  Shard* ShardWith(const PageName& name) const {
    const auto found = by_id_.find(ShardOf(name.space, name.offset, context_.shards.count()));
    return found == by_id_.end() ? nullptr : found->second.get();
  }

  void Compare(const InventoryReply& reply) {
    Piece piece{.orphans = {},
                .named = {},
                .next_cursor = reply.next_cursor,
                .pause = TimeAt(options_.records_per_second, reply.names.size())};
    for (const PageName& name : reply.names) {
      if (const Shard* const shard = ShardWith(name)) {
        const bool named = MayBeNamed(*shard, Node().id, name);
        (named ? piece.named : piece.orphans[shard->id()]).push_back(name);
      }
    }
    LookAtOrphans(std::move(piece));
  }

  void ListOn(const Piece& piece) {
    if (piece.next_cursor.empty()) {
      return FindUnlisted();
    }
    const auto next = [self = shared_from_this(), cursor = piece.next_cursor] {
      self->List(cursor);
    };
    piece.pause == Duration() ? context_.executor.Post(next)
                              : context_.executor.PostAfter(piece.pause, next);
  }

  // Those that are there, and whole if that is asked for, are seen.
  void MarkNamed(const Piece& piece) {
    if (!options_.verify || piece.named.empty()) {
      MarkSeen(piece.named, {});
      return ListOn(piece);
    }
    Node().node->Verify(
        piece.named, [self = shared_from_this(), piece](const StatusOr<VerifyReply>& reply) {
          const bool cannot = reply.status().code() == StatusCode::kUnimplemented;
          if (!cannot && (!reply.ok() || reply->codes.size() != piece.named.size() ||
                          reply->incarnation != self->Node().incarnation)) {
            return self->SkipUnheard(reply.status());
          }
          self->MarkSeen(piece.named, cannot ? std::vector<PageCode>() : reply->codes);
          self->ListOn(piece);
        });
  }

  // Without codes: all of them.
  void MarkSeen(const std::vector<PageName>& names, const std::vector<PageCode>& codes) {
    for (size_t i = 0; i < names.size(); ++i) {
      if (codes.empty() || codes[i] == PageCode::kOk) {
        ShardWith(names[i])->MarkSeen(names[i], SeenBy::kComparison);
      }
    }
  }

  // Begins a look at each shard's, as places come free.
  void LookAtOrphans(Piece piece) {
    while (!piece.orphans.empty()) {
      const auto shard = by_id_.at(piece.orphans.begin()->first);
      if (stuck_.contains(shard->id())) {
        orphans_left_ = true;
        piece.orphans.erase(piece.orphans.begin());
        continue;
      }
      if (!TakePlace(shard->id(), piece)) {
        return;
      }
      const auto orphans = piece.orphans.extract(piece.orphans.begin());
      shard->Barrier([self = shared_from_this(), shard, node = Node().id, names = orphans.mapped(),
                      parts = parts_](const Status& status) {
        status.ok() ? self->LookAgain(shard, node, names, parts)
                    : self->EndLook(shard->id(), *parts);
      });
    }
    MarkNamed(piece);
  }

  // False: there is none, and the piece goes on once there is.
  bool TakePlace(ShardId shard, Piece& piece) {
    uint64_t wait = 0;
    {
      MutexLock lock(parts_->mutex);
      if (parts_->looks.size() < kLooksUnderWayMax) {
        parts_->looks.insert(shard);
        ++parts_->left;
        return true;
      }
      parts_->waiting = std::move(piece);
      wait = ++parts_->waits;
      if (std::exchange(parts_->watched, true)) {
        return false;
      }
    }
    Watch(parts_, wait);
    return false;
  }

  void EndLook(ShardId shard, Parts& parts) {
    std::optional<Piece> waiting;
    {
      MutexLock lock(parts.mutex);
      if (const auto look = parts.looks.find(shard); look != parts.looks.end()) {
        parts.looks.erase(look);
        waiting.swap(parts.waiting);
      }
    }
    if (waiting) {
      context_.executor.Post(
          [self = shared_from_this(), piece = *std::move(waiting)] { self->LookAtOrphans(piece); });
    }
    EndPart(parts);
  }

  void Watch(const std::shared_ptr<Parts>& parts, uint64_t wait) {
    context_.executor.PostAfter(
        kLooksMax, [self = shared_from_this(), parts, wait] { self->OnWatched(parts, wait); });
  }

  // Where it is still the same wait no look has ended: their shards get no others.
  void OnWatched(const std::shared_ptr<Parts>& parts, uint64_t wait) {
    std::optional<Piece> waiting;
    std::multiset<ShardId> stuck;
    uint64_t next = 0;
    {
      MutexLock lock(parts->mutex);
      if (parts->waiting && parts->waits == wait) {
        waiting.swap(parts->waiting);
        stuck.swap(parts->looks);
      } else if (parts->waiting) {
        next = parts->waits;
      }
      parts->watched = next != 0;
    }
    if (next != 0) {
      Watch(parts, next);
    } else if (waiting) {
      stuck_.insert(stuck.begin(), stuck.end());
      LookAtOrphans(*std::move(waiting));
    }
  }

  // What was being deleted when it was listed is gone by now, and was no orphan.
  void LookAgain(const std::shared_ptr<Shard>& shard, NodeId node,
                 const std::vector<PageName>& names, const std::shared_ptr<Parts>& parts) {
    const Placement::Member& member = *context_.placement.Find(node);
    member.node->Get(
        names, Lane::kBackground,
        [self = shared_from_this(), shard, &member, names, parts](const StatusOr<GetReply>& reply) {
          const bool believed = Believed(member, names.size(), reply);
          std::vector<PageName> left;
          for (size_t i = 0; i < names.size(); ++i) {
            if (!believed || reply->pages[i].code != PageCode::kNotFound) {
              left.push_back(names[i]);
            }
          }
          self->DeleteOrphans(*shard, member.id, left);
          self->EndLook(shard->id(), *parts);
        });
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
          if (entry.word.stored() && !entry.companion.seen(SeenBy::kComparison) &&
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
    }
    NextSuspects();
  }

  // A batch of one space at a time.
  void NextSuspects() {
    if (suspects_.empty()) {
      if (orphans_left_) {
        return Skip();
      }
      ++context_.counters.comparisons;
      return EndNode();
    }
    const ShardId id = suspects_.begin()->first;
    std::vector<NamedEntry>& list = suspects_.begin()->second;
    std::vector<NamedEntry> batch;
    std::vector<PageName> names;
    while (!list.empty() && batch.size() < kBatchPagesMax &&
           list.back().space == (batch.empty() ? list.back() : batch.front()).space) {
      batch.push_back(list.back());
      names.push_back({batch.back().space, batch.back().offset, batch.back().entry.word.version()});
      list.pop_back();
    }
    if (list.empty()) {
      suspects_.erase(suspects_.begin());
    }
    // What was put after the listing had passed by is there.
    Node().node->Get(names, Lane::kBackground,
                     [self = shared_from_this(), shard = by_id_.at(id), batch = std::move(batch)](
                         const StatusOr<GetReply>& reply) { self->OnGot(shard, batch, reply); });
  }

  void OnGot(const std::shared_ptr<Shard>& shard, const std::vector<NamedEntry>& batch,
             const StatusOr<GetReply>& reply) {
    if (!Believed(Node(), batch.size(), reply)) {
      return Skip();
    }
    LoadCall call;
    call.header.space = batch.front().space;
    call.header.shard = shard->id();
    call.header.lane = Lane::kBackground;
    for (size_t i = 0; i < batch.size(); ++i) {
      if (reply->pages[i].code == PageCode::kOk) {
        continue;
      }
      if (!Repair(*shard, batch[i])) {
        return Skip();
      }
      call.extents.push_back({batch[i].offset, 1});
    }
    const auto next = [self = shared_from_this()] {
      self->context_.executor.Post([self] { self->NextSuspects(); });
    };
    // The load path finds out what they are and marks the lost ones.
    call.extents.empty() ? next() : VerifyPages(context_, shard, std::move(call), next);
  }

  // If it has other copies; false where too many wait already.
  bool Repair(const Shard& shard, const NamedEntry& missing) {
    const Word word = missing.entry.word;
    if (shard.Lookup(missing.space, missing.offset).word != word ||
        context_.placement.CopiesOf(word.set()).size() == 1) {
      return true;
    }
    ++context_.counters.copies_missing;
    return context_.repairs.Add(shard.id(), missing.space, missing.offset, {missing.entry});
  }

  const FrontEndContext context_;
  const std::vector<std::shared_ptr<Shard>> shards_;
  const ReconcileOptions options_;
  std::map<ShardId, std::shared_ptr<Shard>> by_id_;
  const std::function<void(std::vector<NodeId>)> done_;
  std::vector<NodeId> nodes_;  // still to compare
  std::shared_ptr<Parts> parts_;
  std::set<ShardId> stuck_;    // whose looks have not ended for kLooksMax
  bool orphans_left_ = false;  // of these
  std::vector<NodeId> skipped_;
  std::map<ShardId, std::vector<NamedEntry>> suspects_;
  std::map<ShardId, Version> issued_;  // before the node was listed
};

}  // namespace

void Reconcile(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
               std::vector<NodeId> nodes, ReconcileOptions options,
               std::function<void(std::vector<NodeId> skipped)> done) {
  std::make_shared<ReconcileJob>(context, std::move(shards), std::move(nodes), std::move(options),
                                 std::move(done))
      ->NextNode();
}

}  // namespace vswap
