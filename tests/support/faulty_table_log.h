#pragma once

#include "services/cluster/table_log.h"
#include "tests/support/fault_script.h"

namespace vswap {

// A table log in front of any other one, as a FaultScript says. Thread-safe.
class FaultyTableLog : public TableLog {
 public:
  FaultyTableLog(FaultScript& script, TableLog& log) : script_(script), log_(log) {}

  void Write(LogWrite write, Callback<bool> done) override {
    script_.Pass<bool>(
        CallKind::kLogWrite,
        [this, write = std::move(write)](Fault, Callback<bool> answer) {
          log_.Write(write, std::move(answer));
        },
        std::move(done));
  }
  void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) override {
    script_.Pass<LogEnd>(
        CallKind::kLogSeal,
        [this, shard, epoch](Fault, Callback<LogEnd> answer) {
          log_.Seal(shard, epoch, std::move(answer));
        },
        std::move(done));
  }
  // Corrupt fields: a word that was never issued, an answer that cannot be read.
  void Read(ShardId shard, std::string cursor, uint32_t limit,
            Callback<LogReadReply> done) override {
    script_.Pass<LogReadReply>(
        CallKind::kLogRead,
        [this, shard, cursor = std::move(cursor), limit](Fault, Callback<LogReadReply> answer) {
          log_.Read(shard, cursor, limit, std::move(answer));
        },
        std::move(done),
        [](Fault fault, LogReadReply& reply) {
          if (fault == Fault::kCorruptFields && !reply.slots.empty()) {
            reply.slots.back().word |= kVersionMax;
          }
          if (fault == Fault::kCorruptBytes && !reply.requests.empty()) {
            reply.requests.back().result = "\xff\xff\xff";
          }
        });
  }

 private:
  FaultScript& script_;
  TableLog& log_;
};

}  // namespace vswap
