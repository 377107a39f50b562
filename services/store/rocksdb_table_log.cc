#include "services/store/rocksdb_table_log.h"

#include "services/store/log_format.h"

namespace vswap {
namespace {

constexpr size_t kCallsTogetherMax = 64;
constexpr size_t kShardBytes = 4;
constexpr uint32_t kRequestsReadMax = 256;  // at once: they are long

template <size_t kBytes>
std::string_view View(const std::array<char, kBytes>& bytes) {
  return {bytes.data(), bytes.size()};
}

rocksdb::Slice AsSlice(std::string_view view) { return {view.data(), view.size()}; }

std::string_view AsView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

Status Damaged(ShardId shard, const std::string& what) {
  return MakeError(StatusCode::kDataLoss,
                   "the table log of shard " + std::to_string(shard) + " is damaged at " + what);
}

void AddWrite(const LogWrite& write, rocksdb::ColumnFamilyHandle* log, rocksdb::WriteBatch& batch) {
  for (const char kind : {'s', 't', 'r'}) {
    if (write.begins) {
      const auto begin = EncodeShardKey(write.shard, kind);
      const auto end = EncodeShardKey(write.shard, static_cast<char>(kind + 1));
      batch.DeleteRange(log, AsSlice(View(begin)), AsSlice(View(end)));
    }
  }
  for (const SlotName& slot : write.purges) {
    const auto key = EncodeSlotKey(write.shard, slot);
    batch.Delete(log, AsSlice(View(key)));
  }
  for (const SlotRecord& slot : write.slots) {
    const auto key = EncodeSlotKey(write.shard, {slot.space, slot.offset});
    batch.Put(log, AsSlice(View(key)), AsSlice(View(EncodeSlotValue(View(key), slot))));
  }
  for (const TokenRecord& token : write.tokens) {
    const auto key = EncodeTokenKey(write.shard, token.space);
    batch.Put(log, AsSlice(View(key)), AsSlice(View(EncodeTokenValue(View(key), token.token))));
  }
  for (const RequestName& name : write.forgotten) {
    batch.Delete(log, AsSlice(View(EncodeRequestKey(write.shard, name))));
  }
  for (const RequestRecord& request : write.requests) {
    const auto key = EncodeRequestKey(write.shard, request.name);
    batch.Put(log, AsSlice(View(key)), EncodeRequestValue(View(key), request.result));
  }
}

}  // namespace

void RocksdbTableLog::Write(LogWrite write, Callback<bool> done) {
  if (const Status valid = ValidateLogWrite(write); !valid.ok()) {
    done(valid);
    return;
  }
  const ShardId shard = write.shard;
  Enqueue(shard, {std::move(write), 0, [done = std::move(done)](const StatusOr<LogEnd>& end) {
                    done(end.ok() ? StatusOr<bool>(true) : StatusOr<bool>(end.status()));
                  }});
}

void RocksdbTableLog::Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) {
  if (const Status valid = ValidateLogSeal(shard, epoch); !valid.ok()) {
    done(valid);
    return;
  }
  LogWrite none;
  none.shard = shard;
  Enqueue(shard, {std::move(none), epoch, std::move(done)});
}

void RocksdbTableLog::Read(ShardId shard, std::string cursor, uint32_t limit,
                           Callback<LogReadReply> done) {
  executor_.Dispatch([this, shard, cursor = std::move(cursor), limit, done = std::move(done)] {
    done(DoRead(shard, cursor, limit));
  });
}

void RocksdbTableLog::Enqueue(ShardId id, Call call) {
  Shard* shard = nullptr;
  {
    MutexLock lock(mutex_);
    std::unique_ptr<Shard>& slot = shards_[id];
    if (slot == nullptr) {
      slot = std::make_unique<Shard>();
      slot->id = id;
    }
    slot->calls.push_back(std::move(call));
    if (slot->busy) {
      return;
    }
    slot->busy = true;
    shard = slot.get();
  }
  executor_.Dispatch([this, shard] { Run(*shard); });
}

std::vector<RocksdbTableLog::Call> RocksdbTableLog::TakeCalls(Shard& shard) {
  std::vector<Call> calls;
  MutexLock lock(mutex_);
  while (!shard.calls.empty() && calls.size() < kCallsTogetherMax &&
         (calls.empty() || calls.back().seal_epoch == 0)) {
    calls.push_back(std::move(shard.calls.front()));
    shard.calls.pop_front();
  }
  shard.busy = !calls.empty();
  return calls;
}

void RocksdbTableLog::Run(Shard& shard) {
  for (std::vector<Call> calls = TakeCalls(shard); !calls.empty(); calls = TakeCalls(shard)) {
    std::vector<StatusOr<LogEnd>> answers = Apply(shard, calls);
    for (size_t i = 0; i < calls.size(); ++i) {
      calls[i].done(std::move(answers[i]));
    }
  }
}

std::vector<StatusOr<LogEnd>> RocksdbTableLog::Apply(Shard& shard, const std::vector<Call>& calls) {
  StatusOr<LogPosition> position =
      shard.position.has_value() ? *shard.position : ReadPosition(shard.id);
  if (!position.ok()) {
    return std::vector<StatusOr<LogEnd>>(calls.size(), position.status());
  }
  rocksdb::WriteBatch batch;
  std::vector<StatusOr<LogEnd>> answers;
  for (const Call& call : calls) {
    const Status admitted = Admit(call, *position, batch);
    answers.push_back(admitted.ok() ? StatusOr<LogEnd>(LogEnd()) : StatusOr<LogEnd>(admitted));
  }
  if (const Status written = Commit(shard, *position, batch); !written.ok()) {
    // A refusal may rest on a write beside it that did not get through: all are to be sent again.
    return std::vector<StatusOr<LogEnd>>(calls.size(), written);
  }
  if (calls.back().seal_epoch != 0 && answers.back().ok()) {
    answers.back() = ReadEnd(shard.id, *position);
  }
  return answers;
}

Status RocksdbTableLog::Admit(const Call& call, LogPosition& position, rocksdb::WriteBatch& batch) {
  if (call.seal_epoch != 0) {
    return AdmitLogSeal(call.write.shard, call.seal_epoch, position);
  }
  const StatusOr<LogVerdict> verdict = AdmitLogWrite(call.write, position);
  if (verdict.ok() && *verdict == LogVerdict::kApply) {
    AddWrite(call.write, store_.log(), batch);
  }
  return verdict.status();
}

Status RocksdbTableLog::Commit(Shard& shard, const LogPosition& position,
                               rocksdb::WriteBatch& batch) {
  if (shard.position == position) {
    return absl::OkStatus();  // only repeats and refusals
  }
  const auto key = EncodeMetaKey(shard.id);
  batch.Put(store_.log(), AsSlice(View(key)), AsSlice(View(EncodeMetaValue(View(key), position))));
  rocksdb::WriteOptions options;
  options.sync = store_.sync_log();
  const Status written =
      FromFailedWrite(store_.db().Write(options, &batch), "writing the table log");
  shard.position = written.ok() ? std::optional<LogPosition>(position) : std::nullopt;
  return written;
}

StatusOr<LogPosition> RocksdbTableLog::ReadPosition(ShardId id) {
  const auto key = EncodeMetaKey(id);
  std::string value;
  const rocksdb::Status got = store_.db().Get({}, store_.log(), AsSlice(View(key)), &value);
  if (got.IsNotFound()) {
    return LogPosition();
  }
  VSWAP_RETURN_IF_ERROR(FromRocksdb(got, "reading the table log's position"));
  const auto position = DecodeMetaValue(View(key), value);
  if (!position.has_value()) {
    return Damaged(id, "its position");
  }
  return *position;
}

StatusOr<LogEnd> RocksdbTableLog::ReadEnd(ShardId id, const LogPosition& position) {
  LogEnd end{position.last_sequence, position.versions_reserved, {}, store_.log_incarnation()};
  const auto prefix = EncodeShardKey(id, 't');
  const std::unique_ptr<rocksdb::Iterator> it(store_.db().NewIterator({}, store_.log()));
  for (it->Seek(AsSlice(View(prefix))); it->Valid() && it->key().starts_with(AsSlice(View(prefix)));
       it->Next()) {
    const auto token = DecodeToken(AsView(it->key()), AsView(it->value()));
    if (!token.has_value()) {
      return Damaged(id, "a token");
    }
    end.tokens.push_back(*token);
  }
  VSWAP_RETURN_IF_ERROR(FromRocksdb(it->status(), "reading the tokens of the table log"));
  return end;
}

// A cursor is the key that was read last, without the shard: of a slot ('s') or a request ('r').
StatusOr<LogReadReply> RocksdbTableLog::DoRead(ShardId id, const std::string& cursor,
                                               uint32_t limit) {
  VSWAP_RETURN_IF_ERROR(ValidateLogRead(id, limit));
  const bool slot_cursor = cursor.size() == kSlotKeyBytes - kShardBytes && cursor[0] == 's';
  const bool request_cursor = cursor.size() == kRequestKeyBytes - kShardBytes && cursor[0] == 'r';
  if (!cursor.empty() && !slot_cursor && !request_cursor) {
    return InvalidField("cursor", std::to_string(cursor.size()) + " bytes", "as answered");
  }
  LogReadReply reply;
  bool more = false;
  if (!request_cursor) {
    VSWAP_RETURN_IF_ERROR(ReadKind(id, 's', cursor, limit, &more, [&](const rocksdb::Iterator& it) {
      const auto slot = DecodeSlot(AsView(it.key()), AsView(it.value()));
      if (slot.has_value()) {
        reply.slots.push_back(*slot);
      }
      return slot.has_value();
    }));
  }
  const uint32_t left =
      std::min(kRequestsReadMax, limit - static_cast<uint32_t>(reply.slots.size()));
  if (!more) {
    VSWAP_RETURN_IF_ERROR(ReadKind(
        id, 'r', request_cursor ? cursor : "", left, &more, [&](const rocksdb::Iterator& it) {
          auto request = DecodeRequest(AsView(it.key()), AsView(it.value()));
          if (request.has_value()) {
            reply.requests.push_back(*std::move(request));
          }
          return request.has_value();
        }));
  }
  if (more) {
    const std::string last =
        reply.requests.empty()
            ? std::string(
                  View(EncodeSlotKey(id, {reply.slots.back().space, reply.slots.back().offset})))
            : std::string(View(EncodeRequestKey(id, reply.requests.back().name)));
    reply.next_cursor = last.substr(kShardBytes);
  }
  return reply;
}

Status RocksdbTableLog::ReadKind(ShardId id, char kind, const std::string& cursor, uint32_t limit,
                                 bool* more,
                                 const std::function<bool(const rocksdb::Iterator&)>& take) {
  const auto prefix = EncodeShardKey(id, kind);
  const std::string from = cursor.empty()
                               ? std::string(View(prefix))
                               : std::string(View(prefix).substr(0, kShardBytes)) + cursor;
  const std::unique_ptr<rocksdb::Iterator> it(store_.db().NewIterator({}, store_.log()));
  it->Seek(from);
  if (!cursor.empty() && it->Valid() && it->key() == from) {
    it->Next();
  }
  for (uint32_t taken = 0; it->Valid() && it->key().starts_with(AsSlice(View(prefix)));
       it->Next(), ++taken) {
    if (taken == limit) {
      *more = true;
      break;
    }
    if (!take(*it)) {
      const SlotName name = DecodeSlotKey(AsView(it->key()));
      return Damaged(id, kind == 's'
                             ? "the record of space " + std::to_string(name.space) + ", offset " +
                                   std::to_string(name.offset)
                             : "the answer to a request to space " + std::to_string(name.space));
    }
  }
  return FromRocksdb(it->status(), "reading the table log");
}

}  // namespace vswap
