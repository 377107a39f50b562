#include "services/frontend/log_beginning.h"

#include <algorithm>
#include <utility>

#include "services/cluster/log_rules.h"
#include "services/frontend/log_placement.h"

namespace vswap {
namespace {

class NewLogJob : public std::enable_shared_from_this<NewLogJob> {
 public:
  NewLogJob(ShardId id, v1::ShardRecord record, int least, Callback<v1::ShardRecord> done)
      : id_(id), least_(least), record_(std::move(record)), done_(std::move(done)) {}

  void Start(const TakingContext& context, const std::function<LogPieces()>& pieces) {
    v1::ShardRecord placed = record_;
    const std::vector<LogNodes::Store> stores = context.logs.Stores();
    PlaceNewLog(stores, context.log_replicas, id_, placed);
    if (placed.replicas_size() < least_) {
      return done_(MakeError(StatusCode::kUnavailable, "there is no store for the table log"));
    }
    {
      MutexLock lock(mutex_);
      missing_ = placed.replicas_size();
    }
    for (const v1::LogReplica& replica : placed.replicas()) {
      Send(replica, FindLogStore(stores, replica)->log, pieces(), 0);
    }
  }

 private:
  // `last`: the sequence that was written last.
  void Send(const v1::LogReplica& replica, TableLog* log, const LogPieces& pieces, Sequence last) {
    std::optional<LogWrite> next = pieces();
    if (!next) {
      return Confirm(replica, log, last);
    }
    const Sequence sequence = next->sequence;
    log->Write(*std::move(next), [self = shared_from_this(), replica, log, pieces,
                                  sequence](const StatusOr<bool>& written) {
      written.ok() ? self->Send(replica, log, pieces, sequence)
                   : self->OnReplica(replica, written.status());
    });
  }

  // All of it went to the log that the record is to name: its store may have lost another one
  // since.
  void Confirm(const v1::LogReplica& replica, TableLog* log, Sequence last) {
    log->Seal(id_, record_.epoch(),
              [self = shared_from_this(), replica, last](const StatusOr<LogEnd>& end) {
                const bool whole =
                    end.ok() && end->last_sequence == last &&
                    (replica.incarnation() == 0 || end->incarnation == replica.incarnation());
                self->OnReplica(replica,
                                end.ok() && !whole
                                    ? MakeError(StatusCode::kUnavailable,
                                                "a store has lost the log that began there")
                                    : end.status());
              });
  }

  void OnReplica(const v1::LogReplica& replica, const Status& status) {
    Status failure;
    {
      MutexLock lock(mutex_);
      if (status.ok()) {
        *record_.add_replicas() = replica;
      } else {
        failure_ = status;
      }
      if (--missing_ != 0) {
        return;
      }
      failure = failure_;
    }
    record_.replicas_size() < least_ ? done_(failure) : done_(record_);
  }

  const ShardId id_;
  const int least_;
  v1::ShardRecord record_;  // replicas are added under the mutex until the last has answered
  const Callback<v1::ShardRecord> done_;
  Mutex mutex_;
  int missing_ GUARDED_BY(mutex_) = 0;
  Status failure_ GUARDED_BY(mutex_);
};

std::vector<LogWrite> WritesOf(ShardId id, const v1::ShardRecord& record,
                               const std::vector<TokenRecord>& tokens) {
  std::vector<LogWrite> writes;
  for (size_t begin = 0; begin == 0 || begin < tokens.size(); begin += kLogWriteSlotsMax) {
    const size_t end = std::min(tokens.size(), begin + kLogWriteSlotsMax);
    LogWrite& write = writes.emplace_back();
    write.shard = id;
    write.epoch = record.epoch();
    write.sequence = writes.size();
    write.begins = begin == 0;  // it takes away what was there
    write.versions_reserved = record.times_given_up() * kVersionsPerLog;
    write.tokens.assign(tokens.begin() + static_cast<ptrdiff_t>(begin),
                        tokens.begin() + static_cast<ptrdiff_t>(end));
  }
  return writes;
}

LogPieces PiecesOf(std::shared_ptr<const std::vector<LogWrite>> writes) {
  return [writes = std::move(writes), next = std::make_shared<size_t>(0)] {
    return *next < writes->size() ? std::optional((*writes)[(*next)++]) : std::nullopt;
  };
}

void Commit(const TakingContext& context, ShardId id, uint64_t revision,
            const v1::ShardRecord& record, const Callback<OwnedShard>& done) {
  const std::string key = ShardKey(id);
  context.coordinator.Commit(
      {{{key, revision}}, {{key, record.SerializeAsString()}}, {}},
      [record, done](const StatusOr<TransactionReply>& reply) {
        if (!reply.ok() || !reply->succeeded) {
          return done(reply.ok() ? MakeError(StatusCode::kAborted,
                                             "another front-end took the shard meanwhile")
                                 : reply.status());
        }
        done(OwnedShard{nullptr, record, reply->revision});
      });
}

}  // namespace

void WriteNewLog(const TakingContext& context, ShardId id, v1::ShardRecord record, int least,
                 const std::function<LogPieces()>& pieces, Callback<v1::ShardRecord> done) {
  std::make_shared<NewLogJob>(id, std::move(record), least, std::move(done))
      ->Start(context, pieces);
}

void BeginLog(const TakingContext& context, ShardId id, OwnedShard owned,
              Callback<OwnedShard> done) {
  context.tokens([context, id, owned = std::move(owned),
                  done](const StatusOr<std::vector<TokenRecord>>& tokens) {
    if (!tokens.ok()) {
      return done(tokens.status());
    }
    const auto writes =
        std::make_shared<const std::vector<LogWrite>>(WritesOf(id, owned.record, *tokens));
    WriteNewLog(
        context, id, owned.record, /*least=*/1, [writes] { return PiecesOf(writes); },
        [context, id, revision = owned.revision, done](const StatusOr<v1::ShardRecord>& record) {
          record.ok() ? Commit(context, id, revision, *record, done) : done(record.status());
        });
  });
}

LogPieces PiecesOf(std::shared_ptr<const Shard> shard, Epoch epoch, Sequence first) {
  struct State {
    Shard::Filling filling;
    Sequence sequence = 0;
  };
  return [shard = std::move(shard), epoch,
          state = std::make_shared<State>(State{{}, first})]() -> std::optional<LogWrite> {
    if (state->filling.begun && state->filling.empty()) {
      return std::nullopt;
    }
    return shard->NextPiece(epoch, state->sequence++, state->filling);
  };
}

}  // namespace vswap
