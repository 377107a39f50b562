#pragma once

#include <string>
#include <vector>

#include "services/cluster/node.h"

namespace vswap {

// One slot's entry as logged: see services/frontend/backing.h for the bits.
struct SlotRecord {
  SpaceId space = 0;
  Offset offset = 0;
  uint64_t word = 0;
  uint32_t companion = 0;
  bool operator==(const SlotRecord&) const = default;
};

struct SlotName {
  SpaceId space = 0;
  Offset offset = 0;
};

struct TokenRecord {
  SpaceId space = 0;
  Token token = 0;
};

// A request whose answer must outlive the owner that gave it: see vswap.v1.RequestRecord.
struct RequestName {
  SpaceId space = 0;
  Token token = 0;
  Sequence sequence = 0;
  auto operator<=>(const RequestName&) const = default;
};

struct RequestRecord {
  RequestName name;
  std::string result;  // a serialized vswap.v1.RequestResult, at most kRequestResultBytesMax
  bool operator==(const RequestRecord&) const = default;
};

// One atomic write of a shard's owner.
struct LogWrite {
  ShardId shard = 0;
  Epoch epoch = 0;
  Sequence sequence = 0;          // gapless within the shard, over all epochs
  std::vector<SlotRecord> slots;  // the last of two records of a slot wins
  std::vector<SlotName>
      purges;  // applied before `slots`: records of words that are none on every replica
  std::vector<TokenRecord> tokens;
  Version versions_reserved = 0;  // 0: unchanged; else versions below it belong to this owner
  std::vector<RequestRecord> requests;
  std::vector<RequestName> forgotten;  // applied before `requests`; names not held are no error
  // The first write to a replica that joins: what it holds of the shard goes, and the log begins
  // here, with this sequence. FAILED_PRECONDITION where it has this epoch's and the sequence is not
  // above the last.
  bool begins = false;
};

// Where a sealed log ends.
struct LogEnd {
  Sequence last_sequence = 0;  // 0: nothing was ever written
  Version versions_reserved = 0;
  std::vector<TokenRecord> tokens;
  Incarnation incarnation = 0;  // of the store's log
};

struct LogReadReply {
  std::vector<SlotRecord> slots;
  std::vector<RequestRecord> requests;
  std::string next_cursor;  // empty: the end
};

// One replica of the table log: atomic writes per shard, fenced by epoch.
//
// Bodies: RocksdbTableLog, RemoteTableLog (gRPC), MemoryTableLog and fault bodies (tests).
// Writes of a shard are sent one after the other, each when the one before it was answered: bodies
// in other processes do not keep the order. Thread-safe; callbacks as for Node. Write and Seal are
// durable through kill -9 of the process when they have answered.
class TableLog {
 public:
  virtual ~TableLog() = default;
  // FAILED_PRECONDITION with reason kStaleEpoch where a newer epoch was sealed here;
  // FAILED_PRECONDITION where the sequence leaves a gap. A sequence not above the last one applied,
  // at the same epoch, is OK and changes nothing. Any other error: the effect is unknown, send the
  // same write again.
  virtual void Write(LogWrite write, Callback<bool> done) = 0;
  // Writes of epochs below are refused from now on. FAILED_PRECONDITION (kStaleEpoch) where a newer
  // one is sealed already.
  virtual void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) = 0;
  // Slots of the shard in key order (space, offset), then its requests in theirs; `limit` 1..65536
  // records.
  virtual void Read(ShardId shard, std::string cursor, uint32_t limit,
                    Callback<LogReadReply> done) = 0;
};

}  // namespace vswap
