#include "services/frontend/check.h"

#include <algorithm>
#include <deque>
#include <map>
#include <unordered_map>
#include <utility>

#include "services/frontend/shard_table.h"

namespace vswap {
namespace {

constexpr uint32_t kInventoryNames = 4096;
constexpr uint32_t kLogRecords = 16384;
// How often a difference is looked at before it is one.
constexpr int kLooksMax = 3;
constexpr Duration kPause = std::chrono::milliseconds(20);

using SlotKey = std::pair<SpaceId, Offset>;

// What one place says of a slot; nothing where it does not know the slot.
using LogView = std::map<SlotKey, SlotRecord>;

std::string Describe(SpaceId space, Offset offset) {
  return "space " + std::to_string(space) + ", slot " + std::to_string(offset);
}

std::string Describe(const Entry& entry) {
  static constexpr const char* kNames[] = {"none", "zero", "compressed", "physical", "lost"};
  const Word word = entry.word;
  return std::string(kNames[static_cast<size_t>(word.kind())]) + " version " +
         std::to_string(word.version()) + " set " + std::to_string(word.set()) + " bytes " +
         std::to_string(entry.companion.stored_bytes()) + " references " +
         std::to_string(entry.companion.references());
}

Entry EntryOf(const SlotRecord& record) {
  return {Word(record.word), Companion(record.companion).Logged()};
}

bool Same(const Entry& a, const Entry& b) {
  return a.word == b.word && a.companion.Logged() == b.companion.Logged();
}

class CheckJob : public std::enable_shared_from_this<CheckJob> {
 public:
  CheckJob(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
           std::function<void(CheckReport)> done)
      : context_(context),
        shards_(std::move(shards)),
        done_(std::move(done)),
        nodes_(context_.placement.Members()) {
    for (const auto& shard : shards_) {
      by_id_[shard->id()] = shard.get();
    }
  }

  void Start() { NextShard(); }

 private:
  // --- Each shard: the counters, then each replica of its log.

  void NextShard() {
    if (shard_ == shards_.size()) {
      NextNode();
      return;
    }
    CheckCounts();
    log_ = 0;
    NextLog();
  }

  void CheckCounts() {
    Current().Inspect([this](const EntryTable& table) {
      std::unordered_map<SpaceId, SpaceCounts> sums;
      table.ForEach([&](SpaceId space, Offset, const Entry& entry) {
        report_.slots += entry.live();
        EntryTable::AddTo(entry, +1, &sums[space]);
      });
      std::erase_if(sums, [](const auto& sum) { return sum.second == SpaceCounts{}; });
      if (sums != table.counts()) {
        Problem("shard " + std::to_string(Current().id()) +
                ": the counts by backing kind are not the sums of the table");
      }
    });
  }

  void NextLog() {
    const std::vector<TableLog*> replicas = Current().replicas();
    if (log_ >= replicas.size()) {
      ++shard_;
      Post(&CheckJob::NextShard);
      return;
    }
    replica_ = replicas[log_];
    looks_ = 0;
    different_.clear();
    ReadLog();
  }

  void ReadLog() {
    logged_.clear();
    ReadLogFrom("");
  }

  void ReadLogFrom(const std::string& cursor) {
    replica_->Read(Current().id(), cursor, kLogRecords,
                   [self = shared_from_this()](StatusOr<LogReadReply> reply) {
                     self->OnLog(std::move(reply));
                   });
  }

  void OnLog(StatusOr<LogReadReply> reply) {
    if (!reply.ok()) {
      report_.skipped.push_back(Place() + ": " + std::string(MessageOf(reply.status())));
      ++log_;
      Post(&CheckJob::NextLog);
      return;
    }
    for (const SlotRecord& record : reply->slots) {
      logged_[{record.space, record.offset}] = record;
    }
    if (!reply->next_cursor.empty()) {
      context_.executor.Post(
          [self = shared_from_this(), cursor = reply->next_cursor] { self->ReadLogFrom(cursor); });
      return;
    }
    CompareLog();
  }

  // Slots that are not the same in log and table and that nobody is changing.
  void CompareLog() {
    std::map<SlotKey, std::string> different;
    Current().Inspect([&](const EntryTable& table) {
      const auto busy = [&](const SlotKey& slot) {
        return table.FindInFlight(slot.first, slot.second) != nullptr;
      };
      table.ForEach([&](SpaceId space, Offset offset, const Entry& entry) {
        const auto record = logged_.find({space, offset});
        const bool same = record != logged_.end() && Same(entry, EntryOf(record->second));
        if (!same && !busy({space, offset})) {
          different[{space, offset}] =
              "table " + Describe(entry) + ", log " +
              (record == logged_.end() ? "nothing" : Describe(EntryOf(record->second)));
        }
      });
      for (const auto& [slot, record] : logged_) {
        if (table.Get(slot.first, slot.second).word.bits() == 0 && !busy(slot)) {
          different[slot] = "table nothing, log " + Describe(EntryOf(record));
        }
      }
    });
    // Traffic explains what has changed since the last look.
    if (looks_ > 0) {
      std::erase_if(different, [&](const auto& found) {
        const auto before = different_.find(found.first);
        return before == different_.end() || before->second != found.second;
      });
    }
    different_ = std::move(different);
    if (!different_.empty() && ++looks_ < kLooksMax) {
      LookAgain(&CheckJob::ReadLog);
      return;
    }
    report_.log_slots += logged_.size();
    for (const auto& [slot, what] : different_) {
      Problem(Place() + ": " + Describe(slot.first, slot.second) + ": " + what);
    }
    ++log_;
    Post(&CheckJob::NextLog);
  }

  std::string Place() const {
    return "shard " + std::to_string(shards_[shard_]->id()) + ", log replica " +
           std::to_string(log_ + 1);
  }

  // --- Each node: its inventory.

  void NextNode() {
    if (nodes_.empty()) {
      done_(std::move(report_));
      return;
    }
    for (const auto& shard : shards_) {
      shard->ClearSeen(SeenBy::kCheck);
    }
    orphans_.clear();
    sets_ = context_.placement.SetsWith(Node().id);
    List("");
  }

  void List(const std::string& cursor) {
    Node().node->Inventory(cursor, kInventoryNames,
                           [self = shared_from_this()](StatusOr<InventoryReply> reply) {
                             self->OnInventory(std::move(reply));
                           });
  }

  void OnInventory(StatusOr<InventoryReply> reply) {
    if (!reply.ok() || reply->incarnation != Node().incarnation) {
      report_.skipped.push_back("node " + Node().name + ": " +
                                (reply.ok() ? std::string("another incarnation answers")
                                            : std::string(MessageOf(reply.status()))));
      EndNode();
      return;
    }
    for (const PageName& name : reply->names) {
      Shard* const shard = ShardWith(name);
      if (shard == nullptr) {
        continue;  // another front-end's
      }
      ++report_.records;
      if (shard->Names(name, sets_).value_or(false)) {
        shard->MarkSeen(name, SeenBy::kCheck);
      } else {
        orphans_.push_back(name);
      }
    }
    if (!reply->next_cursor.empty()) {
      context_.executor.Post(
          [self = shared_from_this(), cursor = reply->next_cursor] { self->List(cursor); });
      return;
    }
    FindMissing();
    looks_ = 0;
    Ask();
  }

  // Entries whose record was not listed: it may have been put after the listing had passed.
  void FindMissing() {
    suspects_.clear();
    for (const auto& shard : shards_) {
      shard->Inspect([&](const EntryTable& table) {
        table.ForEach([&](SpaceId space, Offset offset, const Entry& entry) {
          if (entry.word.stored() && !entry.companion.seen(SeenBy::kCheck) &&
              std::ranges::find(sets_, entry.word.set()) != sets_.end()) {
            suspects_.push_back({space, offset, entry.word.version()});
          }
        });
      });
    }
    suspects_.insert(suspects_.end(), orphans_.begin(), orphans_.end());
  }

  // Asks the node for what is in question, then the table, and again after a while: what is the
  // same each time is so.
  void Ask() {
    left_.assign(suspects_.begin(), suspects_.end());
    suspects_.clear();
    verdicts_.clear();
    unheard_ = false;
    AskMore();
  }

  void AskMore() {
    if (left_.empty()) {
      EndLook();
      return;
    }
    std::vector<PageName> names;
    while (!left_.empty() && names.size() < kBatchPagesMax) {
      names.push_back(left_.front());
      left_.pop_front();
    }
    Node().node->Get(names, Lane::kBackground,
                     [self = shared_from_this(), names](StatusOr<GetReply> reply) {
                       self->OnGot(names, std::move(reply));
                     });
  }

  void OnGot(const std::vector<PageName>& names, StatusOr<GetReply> reply) {
    const bool usable = reply.ok() && reply->pages.size() == names.size() &&
                        reply->incarnation == Node().incarnation;
    if (!usable) {
      suspects_.insert(suspects_.end(), names.begin(), names.end());
      unheard_ = true;
    }
    for (size_t i = 0; usable && i < names.size(); ++i) {
      const PageName& name = names[i];
      const bool held = reply->pages[i].code == PageCode::kOk;
      const bool named = ShardWith(name)->Names(name, sets_).value_or(held);
      if (held != named) {
        suspects_.push_back(name);
        verdicts_.push_back(Describe(name.space, name.offset) + ", version " +
                            std::to_string(name.version) +
                            (held ? ": no entry names this record" : ": the record is missing"));
      }
    }
    Post(&CheckJob::AskMore);
  }

  void EndLook() {
    if (!suspects_.empty() && ++looks_ < kLooksMax) {
      LookAgain(&CheckJob::Ask);
      return;
    }
    // Deletes that a node has not answered explain records that nothing names.
    if (!verdicts_.empty() && context_.releaser.pending() > 0) {
      report_.skipped.push_back("node " + Node().name + ": deletes are under way");
      verdicts_.clear();
    }
    if (unheard_) {
      report_.skipped.push_back("node " + Node().name + ": it does not answer for some pages");
    }
    for (const std::string& verdict : verdicts_) {
      Problem("node " + Node().name + ": " + verdict);
    }
    EndNode();
  }

  void EndNode() {
    nodes_.pop_back();
    Post(&CheckJob::NextNode);
  }

  // --- Common.

  const Placement::Member& Node() const { return *nodes_.back(); }
  // Null: not one of those that are checked.
  Shard* ShardWith(const PageName& name) const {
    const auto it = by_id_.find(ShardOf(name.space, name.offset, context_.shards.count()));
    return it == by_id_.end() ? nullptr : it->second;
  }
  Shard& Current() { return *shards_[shard_]; }

  void Problem(std::string what) {
    ++report_.problems_total;
    if (report_.problems.size() < CheckReport::kProblemsMax) {
      report_.problems.push_back(std::move(what));
    }
  }

  void Post(void (CheckJob::*next)()) {
    context_.executor.Post([self = shared_from_this(), next] { (self.get()->*next)(); });
  }

  void LookAgain(void (CheckJob::*next)()) {
    context_.executor.PostAfter(kPause,
                                [self = shared_from_this(), next] { (self.get()->*next)(); });
  }

  const FrontEndContext context_;
  const std::vector<std::shared_ptr<Shard>> shards_;
  std::map<ShardId, Shard*> by_id_;
  const std::function<void(CheckReport)> done_;
  CheckReport report_;
  // Where it is.
  size_t shard_ = 0;
  size_t log_ = 0;
  TableLog* replica_ = nullptr;                  // that one
  std::vector<const Placement::Member*> nodes_;  // still to check
  int looks_ = 0;
  // Of the log being compared.
  LogView logged_;
  std::map<SlotKey, std::string> different_;
  // Of the node being compared.
  std::vector<SetId> sets_;
  std::vector<PageName> orphans_;
  std::vector<PageName> suspects_;
  std::deque<PageName> left_;
  std::vector<std::string> verdicts_;
  bool unheard_ = false;
};

}  // namespace

void CheckEverything(const FrontEndContext& context, std::vector<std::shared_ptr<Shard>> shards,
                     std::function<void(CheckReport)> done) {
  std::make_shared<CheckJob>(context, std::move(shards), std::move(done))->Start();
}

}  // namespace vswap
