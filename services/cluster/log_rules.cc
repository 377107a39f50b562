#include "services/cluster/log_rules.h"

#include <algorithm>

namespace vswap {
namespace {

Status ValidateSlot(SpaceId space, Offset offset) {
  if (space == 0) {
    return InvalidField("slot.space", "0", "1 or more");
  }
  if (offset >= kSpacePagesMax) {
    return InvalidField("slot.offset", std::to_string(offset),
                        "0.." + std::to_string(kSpacePagesMax - 1));
  }
  return absl::OkStatus();
}

Status StaleEpoch(ShardId shard, Epoch epoch, Epoch newest) {
  return MakeError(StatusCode::kFailedPrecondition, ErrorReason::kStaleEpoch,
                   "epoch of shard " + std::to_string(shard) + " is " + std::to_string(epoch) +
                       ", allowed: " + std::to_string(newest) + " or more");
}

Status ValidateLogShard(ShardId shard) {
  if (shard >= kShardCountMax) {
    return InvalidField("shard", std::to_string(shard), "0.." + std::to_string(kShardCountMax - 1));
  }
  return absl::OkStatus();
}

}  // namespace

Status ValidateLogSeal(ShardId shard, Epoch epoch) {
  VSWAP_RETURN_IF_ERROR(ValidateLogShard(shard));
  return epoch == 0 ? InvalidField("epoch", "0", "1 or more") : absl::OkStatus();
}

Status ValidateLogRead(ShardId shard, uint32_t limit) {
  VSWAP_RETURN_IF_ERROR(ValidateLogShard(shard));
  if (limit == 0 || limit > kLogReadSlotsMax) {
    return InvalidField("limit", std::to_string(limit), "1.." + std::to_string(kLogReadSlotsMax));
  }
  return absl::OkStatus();
}

Status ValidateLogWrite(const LogWrite& write) {
  VSWAP_RETURN_IF_ERROR(ValidateLogShard(write.shard));
  if (write.epoch == 0) {
    return InvalidField("epoch", "0", "1 or more");
  }
  if (write.sequence == 0) {
    return InvalidField("sequence", "0", "1 or more");
  }
  const size_t records_max = std::max({write.slots.size(), write.purges.size(), write.tokens.size(),
                                       write.requests.size(), write.forgotten.size()});
  if (records_max > kLogWriteSlotsMax) {
    return InvalidField("slots, purges, tokens, requests, forgotten", std::to_string(records_max),
                        "0.." + std::to_string(kLogWriteSlotsMax) + " records");
  }
  for (const RequestRecord& request : write.requests) {
    if (request.name.space == 0 || request.name.sequence == 0) {
      return InvalidField("request.space, request.sequence", "0", "1 or more");
    }
    if (request.result.size() > kRequestResultBytesMax) {
      return InvalidField("request.result", std::to_string(request.result.size()) + " bytes",
                          "0.." + std::to_string(kRequestResultBytesMax));
    }
  }
  for (const SlotRecord& slot : write.slots) {
    VSWAP_RETURN_IF_ERROR(ValidateSlot(slot.space, slot.offset));
  }
  for (const SlotName& slot : write.purges) {
    VSWAP_RETURN_IF_ERROR(ValidateSlot(slot.space, slot.offset));
  }
  if (write.versions_reserved > kVersionMax + 1) {
    return InvalidField("versions_reserved", std::to_string(write.versions_reserved),
                        "0.." + std::to_string(kVersionMax + 1));
  }
  return absl::OkStatus();
}

StatusOr<LogVerdict> AdmitLogWrite(const LogWrite& write, LogPosition& position) {
  if (write.epoch < position.epoch) {
    return StaleEpoch(write.shard, write.epoch, position.epoch);
  }
  if (write.epoch == position.epoch && write.sequence > position.base_sequence &&
      write.sequence <= position.last_sequence) {
    return LogVerdict::kRepeat;
  }
  if (write.begins && (write.epoch > position.epoch || write.sequence > position.last_sequence)) {
    position = {write.epoch, write.sequence - 1, write.sequence, write.versions_reserved};
    return LogVerdict::kApply;
  }
  if (write.sequence != position.last_sequence + 1) {
    return MakeError(StatusCode::kFailedPrecondition,
                     "sequence of shard " + std::to_string(write.shard) + " is " +
                         std::to_string(write.sequence) +
                         ", allowed: " + std::to_string(position.last_sequence + 1));
  }
  if (write.versions_reserved != 0 && write.versions_reserved < position.versions_reserved) {
    return InvalidField("versions_reserved", std::to_string(write.versions_reserved),
                        "0 or at least " + std::to_string(position.versions_reserved));
  }
  if (write.epoch > position.epoch) {
    position.epoch = write.epoch;
    position.base_sequence = position.last_sequence;
  }
  position.last_sequence = write.sequence;
  position.versions_reserved = std::max(position.versions_reserved, write.versions_reserved);
  return LogVerdict::kApply;
}

Status AdmitLogSeal(ShardId shard, Epoch epoch, LogPosition& position) {
  if (epoch < position.epoch) {
    return StaleEpoch(shard, epoch, position.epoch);
  }
  if (epoch > position.epoch) {
    position.epoch = epoch;
    position.base_sequence = position.last_sequence;
  }
  return absl::OkStatus();
}

}  // namespace vswap
