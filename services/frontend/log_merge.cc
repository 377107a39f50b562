#include "services/frontend/log_merge.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "services/cluster/log_rules.h"

namespace vswap {
namespace {

constexpr uint32_t kReadRecords = 16384;

// Reads one replica in pieces.
struct Stream {
  SealedLog sealed;
  std::deque<SlotRecord> slots;
  std::deque<RequestRecord> requests;
  std::string cursor;
  bool ended = false;
  bool bad = false;     // of a replica behind: it is not to be used
  LogWrite difference;  // of a replica behind

  bool needs_more() const { return !bad && !ended && slots.empty() && requests.empty(); }
};

std::pair<SpaceId, Offset> KeyOf(const SlotRecord& record) { return {record.space, record.offset}; }
const RequestName& KeyOf(const RequestRecord& record) { return record.name; }

// One shard's reading. Passed from callback to callback, so used by one thread at a time.
class RestoreJob : public std::enable_shared_from_this<RestoreJob> {
 public:
  RestoreJob(std::shared_ptr<Shard> shard, std::vector<SealedLog> sealed, Executor& executor,
             Callback<std::vector<NodeId>> done)
      : shard_(std::move(shard)), executor_(executor), done_(std::move(done)) {
    const auto last = [](const SealedLog& log) { return log.end.last_sequence; };
    for (const SealedLog& log : sealed) {
      const bool is_lead = &log == &sealed.front();
      if (!is_lead && last(log) == last(sealed.front())) {
        continue;  // level already
      }
      Stream& stream = streams_.emplace_back();
      stream.sealed = log;
      // More than one write behind: it cannot be told what it lacks in one.
      stream.bad = !is_lead && last(log) + 1 != last(sealed.front());
    }
  }

  void Start() {
    shard_->Restore(Lead().sealed.end);
    for (Stream& behind : streams_) {
      AddTokens(behind);
    }
    Step();
  }

 private:
  Stream& Lead() { return streams_.front(); }

  void AddTokens(Stream& behind) {
    const auto& known = behind.sealed.end.tokens;
    for (const TokenRecord& token : Lead().sealed.end.tokens) {
      const bool same = std::ranges::any_of(known, [&](const TokenRecord& other) {
        return other.space == token.space && other.token == token.token;
      });
      if (!same) {
        behind.difference.tokens.push_back(token);
      }
    }
  }

  // Reads whatever replica has nothing left to compare, or compares.
  void Step() {
    for (Stream& stream : streams_) {
      if (stream.needs_more()) {
        return ReadMore(stream);
      }
    }
    if (Status status = Compare(); !status.ok()) {
      return done_(std::move(status));
    }
    if (std::ranges::all_of(streams_, [](const Stream& s) { return s.bad || s.ended; })) {
      return Confirm();
    }
    // Not within this call: a log may answer at once, piece by piece.
    executor_.Post([self = shared_from_this()] { self->Step(); });
  }

  void ReadMore(Stream& stream) {
    stream.sealed.log->Read(
        shard_->id(), stream.cursor, kReadRecords,
        [self = shared_from_this(), &stream](const StatusOr<LogReadReply>& reply) {
          if (!reply.ok()) {
            if (&stream == &self->Lead()) {
              return self->done_(reply.status());
            }
            stream.bad = true;
          } else {
            stream.slots.assign(reply->slots.begin(), reply->slots.end());
            stream.requests.assign(reply->requests.begin(), reply->requests.end());
            stream.cursor = reply->next_cursor;
            stream.ended = stream.cursor.empty();
          }
          self->executor_.Post([self] { self->Step(); });
        });
  }

  // As far as every replica's next record is known.
  Status Compare() {
    VSWAP_RETURN_IF_ERROR(CompareKind(&Stream::slots));
    const bool slots_left =
        std::ranges::any_of(streams_, [](const Stream& s) { return !s.bad && !s.slots.empty(); });
    return slots_left ? Status() : CompareKind(&Stream::requests);
  }

  // Whether its next record of the kind is in memory, or known not to exist.
  template <typename Record>
  static bool IsKnown(const Stream& stream, std::deque<Record> Stream::*kind) {
    if constexpr (std::is_same_v<Record, SlotRecord>) {
      // Requests follow the slots.
      return !(stream.*kind).empty() || !stream.requests.empty() || stream.ended;
    }
    return !(stream.*kind).empty() || stream.ended;
  }

  template <typename Record>
  Status CompareKind(std::deque<Record> Stream::*kind) {
    while (true) {
      const Record* least = nullptr;
      for (const Stream& stream : streams_) {
        if (stream.bad) {
          continue;
        }
        if (!IsKnown(stream, kind)) {
          return Status();
        }
        const auto& records = stream.*kind;
        if (!records.empty() && (least == nullptr || KeyOf(records.front()) < KeyOf(*least))) {
          least = &records.front();
        }
      }
      if (least == nullptr) {
        return Status();
      }
      VSWAP_RETURN_IF_ERROR(TakeOne(kind, Record(*least)));
    }
  }

  // The replica that is ahead rules: what it holds is restored, and what it does not hold was
  // removed by the last write.
  template <typename Record>
  Status TakeOne(std::deque<Record> Stream::*kind, const Record& least) {
    auto& lead = Lead().*kind;
    const bool held = !lead.empty() && KeyOf(lead.front()) == KeyOf(least);
    const Record ruling = held ? lead.front() : least;
    if (held) {
      VSWAP_RETURN_IF_ERROR(shard_->Restore(ruling));
    }
    for (Stream& stream : streams_) {
      auto& records = stream.*kind;
      const bool has = !stream.bad && !records.empty() && KeyOf(records.front()) == KeyOf(ruling);
      if (&stream != &Lead() && !stream.bad) {
        if (held && !(has && records.front() == ruling)) {
          Put(stream.difference, ruling);
        } else if (!held && has) {
          Remove(stream.difference, ruling);
        }
      }
      if (has) {
        records.pop_front();
      }
    }
    return Status();
  }

  static void Put(LogWrite& write, const SlotRecord& record) { write.slots.push_back(record); }
  static void Put(LogWrite& write, const RequestRecord& record) {
    write.requests.push_back(record);
  }
  static void Remove(LogWrite& write, const SlotRecord& record) {
    write.purges.push_back({record.space, record.offset});
  }
  static void Remove(LogWrite& write, const RequestRecord& record) {
    write.forgotten.push_back(record.name);
  }

  // What was read piece by piece is what was sealed only if the store still has that log: one that
  // was replaced in between answers from what it has then. The others are told of a difference
  // only where they end as they did.
  void Confirm() {
    const SealedLog& lead = Lead().sealed;
    lead.log->Seal(
        shard_->id(), shard_->epoch(), [self = shared_from_this()](const StatusOr<LogEnd>& end) {
          const LogEnd& sealed = self->Lead().sealed.end;
          if (!end.ok()) {
            return self->done_(end.status());
          }
          if (end->incarnation != sealed.incarnation ||
              end->last_sequence != sealed.last_sequence) {
            return self->done_(
                MakeError(StatusCode::kUnavailable, "the log was replaced while it was read"));
          }
          self->executor_.Post([self] { self->Level(1); });
        });
  }

  // Tells the replicas behind, from `index` on, what they lack.
  void Level(size_t index) {
    if (index == streams_.size()) {
      std::vector<NodeId> bad;
      for (const Stream& stream : streams_) {
        if (stream.bad) {
          bad.push_back(stream.sealed.node);
        }
      }
      return done_(std::move(bad));
    }
    Stream& stream = streams_[index];
    LogWrite& write = stream.difference;
    write.shard = shard_->id();
    write.epoch = shard_->epoch();
    write.sequence = stream.sealed.end.last_sequence + 1;
    write.versions_reserved = Lead().sealed.end.versions_reserved;
    // More than one write can change: they differ by more.
    stream.bad =
        stream.bad || std::max({write.slots.size(), write.purges.size(), write.requests.size(),
                                write.forgotten.size(), write.tokens.size()}) > kLogWriteSlotsMax;
    if (stream.bad) {
      return Level(index + 1);
    }
    stream.sealed.log->Write(std::move(write), [self = shared_from_this(), &stream,
                                                index](const StatusOr<bool>& written) {
      stream.bad = !written.ok();
      self->executor_.Post([self, index] { self->Level(index + 1); });
    });
  }

  const std::shared_ptr<Shard> shard_;
  Executor& executor_;
  const Callback<std::vector<NodeId>> done_;
  std::deque<Stream> streams_;  // the one that is ahead first; fixed
};

}  // namespace

void RestoreShard(std::shared_ptr<Shard> shard, std::vector<SealedLog> sealed, Executor& executor,
                  Callback<std::vector<NodeId>> done) {
  std::make_shared<RestoreJob>(std::move(shard), std::move(sealed), executor, std::move(done))
      ->Start();
}

}  // namespace vswap
