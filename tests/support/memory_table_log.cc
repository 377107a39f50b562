#include "tests/support/memory_table_log.h"

#include <cstring>

namespace vswap {

template <typename T>
void MemoryTableLog::Answer(StatusOr<T> answer, Callback<T> done) {
  if (executor_ == nullptr) {
    done(std::move(answer));
    return;
  }
  executor_->Post([answer = std::move(answer), done = std::move(done)] { done(answer); });
}

void MemoryTableLog::Write(LogWrite write, Callback<bool> done) {
  Answer<bool>(faults_.Apply<bool>([&] { return DoWrite(write); }), std::move(done));
}

void MemoryTableLog::Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) {
  Answer<LogEnd>(faults_.Apply<LogEnd>([&] { return DoSeal(shard, epoch); }), std::move(done));
}

void MemoryTableLog::Read(ShardId shard, std::string cursor, uint32_t limit,
                          Callback<LogReadReply> done) {
  Answer<LogReadReply>(DoRead(shard, cursor, limit), std::move(done));
}

StatusOr<bool> MemoryTableLog::DoWrite(const LogWrite& write) {
  VSWAP_RETURN_IF_ERROR(ValidateLogWrite(write));
  MutexLock lock(mutex_);
  Shard& shard = shards_[write.shard];
  const StatusOr<LogVerdict> verdict = AdmitLogWrite(write, shard.position);
  VSWAP_RETURN_IF_ERROR(verdict.status());
  if (*verdict == LogVerdict::kRepeat) {
    return true;
  }
  for (const SlotName& slot : write.purges) {
    shard.slots.erase({slot.space, slot.offset});
  }
  for (const SlotRecord& slot : write.slots) {
    shard.slots[{slot.space, slot.offset}] = slot;
  }
  for (const TokenRecord& token : write.tokens) {
    shard.tokens[token.space] = token.token;
  }
  return true;
}

StatusOr<LogEnd> MemoryTableLog::DoSeal(ShardId id, Epoch epoch) {
  VSWAP_RETURN_IF_ERROR(ValidateLogSeal(id, epoch));
  MutexLock lock(mutex_);
  Shard& shard = shards_[id];
  VSWAP_RETURN_IF_ERROR(AdmitLogSeal(id, epoch, shard.position));
  LogEnd end{shard.position.last_sequence, shard.position.versions_reserved, {}};
  for (const auto& [space, token] : shard.tokens) {
    end.tokens.push_back({space, token});
  }
  return end;
}

StatusOr<LogReadReply> MemoryTableLog::DoRead(ShardId id, const std::string& cursor,
                                              uint32_t limit) {
  VSWAP_RETURN_IF_ERROR(ValidateLogRead(id, limit));
  SlotKey last{0, 0};
  if (!cursor.empty()) {
    if (cursor.size() != 2 * sizeof(uint64_t)) {
      return InvalidField("cursor", std::to_string(cursor.size()) + " bytes", "as answered");
    }
    std::memcpy(&last.first, cursor.data(), sizeof(uint64_t));
    std::memcpy(&last.second, cursor.data() + sizeof(uint64_t), sizeof(uint64_t));
  }
  MutexLock lock(mutex_);
  const std::map<SlotKey, SlotRecord>& slots = shards_[id].slots;
  LogReadReply reply;
  auto it = cursor.empty() ? slots.begin() : slots.upper_bound(last);
  for (; it != slots.end() && reply.slots.size() < limit; ++it) {
    reply.slots.push_back(it->second);
  }
  if (it != slots.end()) {
    const SlotRecord& end = reply.slots.back();
    reply.next_cursor.append(reinterpret_cast<const char*>(&end.space), sizeof(uint64_t));
    reply.next_cursor.append(reinterpret_cast<const char*>(&end.offset), sizeof(uint64_t));
  }
  return reply;
}

}  // namespace vswap
