#include "services/frontend/log_beginning.h"

#include <algorithm>
#include <utility>

#include "services/cluster/log_rules.h"
#include "services/frontend/log_placement.h"

namespace vswap {
namespace {

class BeginningJob : public std::enable_shared_from_this<BeginningJob> {
 public:
  BeginningJob(const TakingContext& context, ShardId id, OwnedShard owned,
               Callback<OwnedShard> done)
      : context_(context), id_(id), owned_(std::move(owned)), done_(std::move(done)) {}

  void Start() {
    context_.tokens([self = shared_from_this()](const StatusOr<std::vector<TokenRecord>>& tokens) {
      tokens.ok() ? self->BeginAll(*tokens) : self->done_(tokens.status());
    });
  }

 private:
  void BeginAll(const std::vector<TokenRecord>& tokens) {
    MakeWrites(tokens);
    v1::ShardRecord placed = owned_.record;
    const std::vector<LogNodes::Store> stores = context_.logs.Stores();
    PlaceNewLog(stores, context_.log_replicas, id_, placed);
    if (placed.replicas_size() == 0) {
      return done_(MakeError(StatusCode::kUnavailable, "there is no store for the table log"));
    }
    {
      MutexLock lock(mutex_);
      missing_ = placed.replicas_size();
    }
    for (const v1::LogReplica& replica : placed.replicas()) {
      Send(replica, FindLogStore(stores, replica)->log, 0);
    }
  }

  // The first one takes away what was there.
  void MakeWrites(const std::vector<TokenRecord>& tokens) {
    for (size_t begin = 0; begin == 0 || begin < tokens.size(); begin += kLogWriteSlotsMax) {
      const size_t end = std::min(tokens.size(), begin + kLogWriteSlotsMax);
      LogWrite& write = writes_.emplace_back();
      write.shard = id_;
      write.epoch = owned_.record.epoch();
      write.sequence = writes_.size();
      write.begins = begin == 0;
      write.versions_reserved = owned_.record.times_given_up() * kVersionsPerLog;
      write.tokens.assign(tokens.begin() + static_cast<ptrdiff_t>(begin),
                          tokens.begin() + static_cast<ptrdiff_t>(end));
    }
  }

  void Send(const v1::LogReplica& replica, TableLog* log, size_t next) {
    if (next == writes_.size()) {
      return OnReplica(replica, Status());
    }
    log->Write(writes_[next],
               [self = shared_from_this(), replica, log, next](const StatusOr<bool>& written) {
                 written.ok() ? self->Send(replica, log, next + 1)
                              : self->OnReplica(replica, written.status());
               });
  }

  void OnReplica(const v1::LogReplica& replica, const Status& status) {
    v1::ShardRecord record;
    Status failure;
    {
      MutexLock lock(mutex_);
      if (status.ok()) {
        begun_.push_back(replica);
      } else {
        failure_ = status;
      }
      if (--missing_ != 0) {
        return;
      }
      record = owned_.record;
      record.mutable_replicas()->Assign(begun_.begin(), begun_.end());
      failure = failure_;
    }
    if (record.replicas_size() == 0) {
      return done_(failure);
    }
    const std::string key = ShardKey(id_);
    context_.coordinator.Commit(
        {{{key, owned_.revision}}, {{key, record.SerializeAsString()}}, {}},
        [self = shared_from_this(), record](const StatusOr<TransactionReply>& reply) {
          if (!reply.ok() || !reply->succeeded) {
            return self->done_(reply.ok() ? MakeError(StatusCode::kAborted,
                                                      "another front-end took the shard meanwhile")
                                          : reply.status());
          }
          self->done_(OwnedShard{nullptr, record, reply->revision});
        });
  }

  const TakingContext context_;
  const ShardId id_;
  const OwnedShard owned_;
  const Callback<OwnedShard> done_;
  std::vector<LogWrite> writes_;  // fixed before the first is sent
  Mutex mutex_;
  int missing_ GUARDED_BY(mutex_) = 0;
  std::vector<v1::LogReplica> begun_ GUARDED_BY(mutex_);
  Status failure_ GUARDED_BY(mutex_);
};

}  // namespace

void BeginLog(const TakingContext& context, ShardId id, OwnedShard owned,
              Callback<OwnedShard> done) {
  std::make_shared<BeginningJob>(context, id, std::move(owned), std::move(done))->Start();
}

}  // namespace vswap
