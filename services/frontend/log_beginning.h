#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "services/frontend/shard_taking.h"

namespace vswap {

// What a log begins with: the writes for one replica, one after the other; nothing after the last.
using LogPieces = std::function<std::optional<LogWrite>()>;

// Writes a log anew to as many stores as are wanted, to each what `pieces` makes for it, and has it
// sealed. Whatever these held of the shard goes. `record` names no replicas; `done` gets it with
// those that have all of it, which the coordinator does not know yet. UNAVAILABLE: fewer than
// `least` (1 or more) stores take it.
void WriteNewLog(const TakingContext& context, ShardId id, v1::ShardRecord record, int least,
                 const std::function<LogPieces()>& pieces, Callback<v1::ShardRecord> done);

// Makes the log of a shard that was given up anew, and its record name the replicas: an empty table
// whose spaces have the tokens of today.
//
// `owned` is the caller's, and names no replicas; what is handed over can be taken. UNAVAILABLE:
// there is no store that takes it. ABORTED: somebody else has changed the record.
void BeginLog(const TakingContext& context, ShardId id, OwnedShard owned,
              Callback<OwnedShard> done);

// All that counts in a shard that has ended, for a log of a later epoch. `first`: the sequence of
// the first write, above all that were sent under that epoch before.
LogPieces PiecesOf(std::shared_ptr<const Shard> shard, Epoch epoch, Sequence first);

}  // namespace vswap
