#pragma once

#include "services/cluster/table_log.h"

namespace vswap {

inline constexpr size_t kLogWriteSlotsMax = 65536;
inline constexpr uint32_t kLogReadSlotsMax = 65536;
inline constexpr size_t kRequestResultBytesMax = 8192;

// Where one replica's log of one shard stands.
struct LogPosition {
  Epoch epoch = 0;             // accepted or sealed
  Sequence base_sequence = 0;  // the last one written in older epochs
  Sequence last_sequence = 0;
  Version versions_reserved = 0;
  bool operator==(const LogPosition&) const = default;
};

// The rules of the table log, the same in every body of the interface.

// INVALID_ARGUMENT with field and range, whatever the log's position.
[[nodiscard]] Status ValidateLogWrite(const LogWrite& write);
[[nodiscard]] Status ValidateLogSeal(ShardId shard, Epoch epoch);
[[nodiscard]] Status ValidateLogRead(ShardId shard, uint32_t limit);

enum class LogVerdict { kApply, kRepeat };
// kApply: `position` has been moved on; the write is now to be made. kRepeat: this owner's, applied
// before. Errors as TableLog::Write names them, `position` unchanged.
[[nodiscard]] StatusOr<LogVerdict> AdmitLogWrite(const LogWrite& write, LogPosition& position);
// OK: `position` has been moved on.
[[nodiscard]] Status AdmitLogSeal(ShardId shard, Epoch epoch, LogPosition& position);

}  // namespace vswap
