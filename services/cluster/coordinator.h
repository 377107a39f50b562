#pragma once

#include <optional>
#include <string>
#include <vector>

#include "services/cluster/node.h"

namespace vswap {

// A linearizable store of small records with transactions, in the shape of etcd's v3 API. Values
// are the messages of proto/vswap/v1/cluster.proto; keys:
//
//   cluster                 ClusterRecord
//   spaces/NAME             SpaceRecord
//   shards/NNNNN            ShardRecord     (decimal, five digits)
//   nodes/NNNNN             NodeRecord
//   sets/NNNNN              SetRecord
//   next/space              decimal: the next space id
//
// Bodies: LocalCoordinator (a file in the data directory) and, later, etcd.
struct KeyValue {
  std::string key;
  std::string value;
  // Of the key's last change, from 1; grows with every transaction of the whole store.
  uint64_t revision = 0;
};

struct Transaction {
  struct Compare {
    std::string key;
    uint64_t revision = 0;  // 0: the key does not exist
  };
  struct Put {
    std::string key;
    std::string value;
  };
  std::vector<Compare> compares;  // all must hold
  std::vector<Put> puts;
  std::vector<std::string> deletes;
};

struct TransactionReply {
  bool succeeded = false;  // false: a compare did not hold, nothing changed
  uint64_t revision = 0;   // of the store, after it
};

// Thread-safe; callbacks as for Node. An error status of Commit means that its effect is unknown.
class Coordinator {
 public:
  virtual ~Coordinator() = default;
  virtual void Get(std::string key, Callback<std::optional<KeyValue>> done) = 0;
  // All keys that begin with `prefix`, in key order, as of one revision.
  virtual void List(std::string prefix, Callback<std::vector<KeyValue>> done) = 0;
  // Durable when it has answered.
  virtual void Commit(Transaction transaction, Callback<TransactionReply> done) = 0;
};

}  // namespace vswap
