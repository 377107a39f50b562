#include "services/frontend/shard_taking.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <set>
#include <utility>

#include "services/frontend/log_beginning.h"
#include "services/frontend/log_merge.h"
#include "services/frontend/log_placement.h"

namespace vswap {
namespace {

// Seal waits, where nothing that was sealed in one can be read.
constexpr int kLateSeals = 5;

class TakingJob : public std::enable_shared_from_this<TakingJob> {
 public:
  TakingJob(const TakingContext& context, ShardId id, OwnedShard owned, Callback<OwnedShard> done)
      : context_(context), id_(id), owned_(std::move(owned)), done_(std::move(done)) {}

  void Start() {
    const std::vector<LogNodes::Store> stores = context_.logs.Stores();
    std::vector<LogNodes::Store> full;
    for (const v1::LogReplica& replica : owned_.record.replicas()) {
      const LogNodes::Store* const store = FindLogStore(stores, replica);
      if (replica.full() && store != nullptr) {
        full.push_back(*store);
        full.back().incarnation = replica.incarnation();
      }
    }
    if (full.empty()) {
      return done_(MakeError(StatusCode::kFailedPrecondition,
                             "no store has the table log of shard " + std::to_string(id_) +
                                 " any more: it cannot be served"));
    }
    {
      MutexLock lock(mutex_);
      awaited_ = full.size();
    }
    for (const LogNodes::Store& store : full) {
      store.log->Seal(id_, owned_.record.epoch(),
                      [self = shared_from_this(), store](StatusOr<LogEnd> end) {
                        self->OnSealed(store, std::move(end));
                      });
    }
  }

 private:
  void OnSealed(const LogNodes::Store& store, StatusOr<LogEnd> end) {
    bool read = false;
    bool first = false;
    {
      MutexLock lock(mutex_);
      const bool is_replica =
          end.ok() && (store.incarnation == 0 || end->incarnation == store.incarnation);
      if (is_replica) {
        first = sealed_.empty();
        sealed_.push_back({store.node, store.log, *std::move(end)});
      } else if (failure_.ok()) {
        failure_ = end.ok() ? MakeError(StatusCode::kUnavailable,
                                        "a store answers for data that is not the log's")
                            : end.status();
      }
      read = --awaited_ == 0 || stuck_;
    }
    if (read) {
      Read();
    } else if (first) {
      context_.executor.PostAfter(context_.seal_wait,
                                  [self = shared_from_this()] { self->Read(); });
    }
  }

  // Reads what is sealed. Where nothing of it can be read, those that have not answered are waited
  // for a while longer; `last`: no more.
  void Read(bool last = false) {
    std::vector<SealedLog> sealed;
    Status failure;
    bool over = false;
    bool wait = false;
    {
      MutexLock lock(mutex_);
      late_ |= last;
      if (reading_) {
        return;
      }
      sealed = Readable();
      over = sealed.empty() && (awaited_ == 0 || late_);
      wait = sealed.empty() && !over && !std::exchange(stuck_, true);
      reading_ = !sealed.empty() || over;
      failure = unread_.empty() ? failure_ : unread_.front().second;
    }
    if (over) {
      return done_(failure);
    }
    if (wait) {
      context_.executor.PostAfter(kLateSeals * context_.seal_wait,
                                  [self = shared_from_this()] { self->Read(/*last=*/true); });
    }
    if (sealed.empty()) {
      return;
    }
    owned_.shard = MakeShard(sealed);
    RestoreShard(owned_.shard, sealed, context_.executor,
                 [self = shared_from_this(), sealed](const StatusOr<std::vector<NodeId>>& bad) {
                   bad.ok() ? self->Leave(sealed, *bad)
                            : self->OnUnread(sealed.front(), bad.status());
                 });
  }

  void OnUnread(const SealedLog& log, const Status& why) {
    spdlog::warn("shard {}: a replica of its log cannot be read: {}", id_,
                 std::string(MessageOf(why)));
    {
      MutexLock lock(mutex_);
      unread_.emplace_back(log, why);
      reading_ = false;
    }
    Read();
  }

  // What is sealed and was not tried, the one that is ahead first. Empty where that one lacks more
  // than a damaged one had: it may be heard again, and only what one write adds was surely not
  // acknowledged.
  std::vector<SealedLog> Readable() const REQUIRES(mutex_) {
    const auto last = [](const SealedLog& log) { return log.end.last_sequence; };
    std::vector<SealedLog> sealed = sealed_;
    std::erase_if(sealed, [this](const SealedLog& log) {
      mutex_.AssertHeld();
      return std::ranges::any_of(unread_,
                                 [&](const auto& unread) { return unread.first.node == log.node; });
    });
    std::ranges::stable_sort(sealed, std::ranges::greater(), last);
    const bool sound =
        sealed.empty() || std::ranges::all_of(unread_, [&](const auto& unread) {
          const Sequence ahead = last(unread.first) - std::min(last(unread.first), last(sealed[0]));
          return ahead == 0 || (ahead == 1 && unread.second.code() == StatusCode::kDataLoss);
        });
    return sound ? sealed : std::vector<SealedLog>();
  }

  std::shared_ptr<Shard> MakeShard(const std::vector<SealedLog>& sealed) {
    std::vector<TableLog*> logs;
    for (const SealedLog& log : sealed) {
      logs.push_back(log.log);
    }
    Shard::Options options{.id = id_,
                           .epoch = owned_.record.epoch(),
                           .versions_limit = (owned_.record.times_given_up() + 1) * kVersionsPerLog,
                           .lost_spaces_end = owned_.record.lost_spaces_end()};
    const auto weak = std::make_shared<std::weak_ptr<Shard>>();
    options.on_fenced = [weak, told = context_.on_fenced](const Status& status) {
      if (const auto shard = weak->lock(); shard != nullptr && told) {
        told(shard, status);
      }
    };
    auto shard = std::make_shared<Shard>(std::move(options), logs, context_.executor);
    *weak = shard;
    return shard;
  }

  // Goes on with the replicas that are level now.
  void Leave(const std::vector<SealedLog>& sealed, const std::vector<NodeId>& bad) {
    std::set<NodeId> level;
    for (const SealedLog& log : sealed) {
      if (std::ranges::find(bad, log.node) == bad.end()) {
        level.insert(log.node);
      } else {
        owned_.shard->RemoveReplica(log.log);
      }
    }
    KeepReplicas(level);
  }

  // Removes the others from the record, and those that were being filled. Only now: what is left
  // of the log may be on one that did not answer. And before the shard serves: nothing counts on a
  // changed set of replicas before.
  void KeepReplicas(const std::set<NodeId>& level) {
    v1::ShardRecord record = owned_.record;
    record.clear_replicas();
    for (const v1::LogReplica& replica : owned_.record.replicas()) {
      if (replica.full() && level.contains(replica.node())) {
        *record.add_replicas() = replica;
      }
    }
    if (record.replicas_size() == owned_.record.replicas_size()) {
      return done_(owned_);
    }
    const std::string key = ShardKey(id_);
    context_.coordinator.Commit(
        {{{key, owned_.revision}}, {{key, record.SerializeAsString()}}, {}},
        [self = shared_from_this(), record](const StatusOr<TransactionReply>& reply) {
          if (!reply.ok() || !reply->succeeded) {
            return self->done_(MakeError(StatusCode::kAborted,
                                         reply.ok() ? "another front-end took the shard meanwhile"
                                                    : "its record could not be changed"));
          }
          self->owned_.record = record;
          self->owned_.revision = reply->revision;
          self->done_(self->owned_);
        });
  }

  const TakingContext context_;
  const ShardId id_;
  OwnedShard owned_;
  const Callback<OwnedShard> done_;
  Mutex mutex_;
  size_t awaited_ GUARDED_BY(mutex_) = 0;
  std::vector<SealedLog> sealed_ GUARDED_BY(mutex_);
  Status failure_ GUARDED_BY(mutex_);
  std::vector<std::pair<SealedLog, Status>> unread_ GUARDED_BY(mutex_);  // tried, and why not
  bool reading_ GUARDED_BY(mutex_) = false;                              // or done
  bool stuck_ GUARDED_BY(mutex_) = false;  // nothing that was sealed in time can be read
  bool late_ GUARDED_BY(mutex_) = false;   // nothing more is waited for
};

}  // namespace

std::string ShardKey(ShardId shard) {
  char key[32];
  std::snprintf(key, sizeof(key), "shards/%05u", shard);
  return key;
}

void TakeShard(const TakingContext& context, ShardId id, OwnedShard owned,
               Callback<OwnedShard> done) {
  const auto take = [context, id, done](OwnedShard taken) {
    std::make_shared<TakingJob>(context, id, std::move(taken), done)->Start();
  };
  if (owned.record.replicas_size() != 0 || owned.record.times_given_up() == 0) {
    return take(std::move(owned));
  }
  BeginLog(context, id, std::move(owned), [take, done](const StatusOr<OwnedShard>& begun) {
    begun.ok() ? take(*begun) : done(begun.status());
  });
}

void PlaceNewLog(const std::vector<LogNodes::Store>& stores, uint32_t replicas, ShardId id,
                 v1::ShardRecord& record) {
  while (record.replicas_size() < static_cast<int>(replicas)) {
    const std::optional<LogNodes::Store> store = ChooseLogStore(stores, record, id);
    if (!store) {
      return;
    }
    v1::LogReplica* const replica = record.add_replicas();
    replica->set_node(store->node);
    replica->set_incarnation(store->incarnation);
    replica->set_full(true);
  }
}

}  // namespace vswap
