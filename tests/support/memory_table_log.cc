#include "tests/support/memory_table_log.h"

#include <array>
#include <cstring>
#include <initializer_list>

namespace vswap {
namespace {

std::string CursorOf(std::initializer_list<uint64_t> numbers) {
  std::string cursor;
  for (const uint64_t number : numbers) {
    cursor.append(reinterpret_cast<const char*>(&number), sizeof(number));
  }
  return cursor;
}

}  // namespace

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
  if (write.begins) {
    shard = {.position = shard.position, .slots = {}, .tokens = {}, .requests = {}};
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
  for (const RequestName& name : write.forgotten) {
    shard.requests.erase(name);
  }
  for (const RequestRecord& request : write.requests) {
    shard.requests[request.name] = request.result;
  }
  return true;
}

StatusOr<LogEnd> MemoryTableLog::DoSeal(ShardId id, Epoch epoch) {
  VSWAP_RETURN_IF_ERROR(ValidateLogSeal(id, epoch));
  MutexLock lock(mutex_);
  Shard& shard = shards_[id];
  VSWAP_RETURN_IF_ERROR(AdmitLogSeal(id, epoch, shard.position));
  LogEnd end{shard.position.last_sequence, shard.position.versions_reserved, {}, incarnation_};
  for (const auto& [space, token] : shard.tokens) {
    end.tokens.push_back({space, token});
  }
  return end;
}

// A cursor names the record that was read last: a slot by two numbers, a request by three.
StatusOr<LogReadReply> MemoryTableLog::DoRead(ShardId id, const std::string& cursor,
                                              uint32_t limit) {
  VSWAP_RETURN_IF_ERROR(ValidateLogRead(id, limit));
  if (cursor.size() % sizeof(uint64_t) != 0 || cursor.size() == sizeof(uint64_t) ||
      cursor.size() > 3 * sizeof(uint64_t)) {
    return InvalidField("cursor", std::to_string(cursor.size()) + " bytes", "as answered");
  }
  std::array<uint64_t, 3> last{};
  std::memcpy(last.data(), cursor.data(), cursor.size());
  const bool in_requests = cursor.size() == sizeof(last);
  MutexLock lock(mutex_);
  const Shard& shard = shards_[id];
  LogReadReply reply;
  if (!in_requests) {
    auto slot = cursor.empty() ? shard.slots.begin() : shard.slots.upper_bound({last[0], last[1]});
    for (; slot != shard.slots.end() && reply.slots.size() < limit; ++slot) {
      reply.slots.push_back(slot->second);
    }
    if (slot != shard.slots.end()) {
      const SlotRecord& end = reply.slots.back();
      reply.next_cursor = CursorOf({end.space, end.offset});
      return reply;
    }
  }
  auto request = shard.requests.upper_bound(in_requests ? RequestName{last[0], last[1], last[2]}
                                                        : RequestName{});
  for (; request != shard.requests.end(); ++request) {
    if (reply.slots.size() + reply.requests.size() == limit) {
      if (reply.requests.empty()) {
        const SlotRecord& end = reply.slots.back();
        reply.next_cursor = CursorOf({end.space, end.offset});
      } else {
        const RequestName& end = reply.requests.back().name;
        reply.next_cursor = CursorOf({end.space, end.token, end.sequence});
      }
      return reply;
    }
    reply.requests.push_back({request->first, request->second});
  }
  return reply;
}

}  // namespace vswap
