#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "etcd/rpc.pb.h"
#include "services/cluster/coordinator.h"

namespace vswap {

// Between the coordinator's interface and etcd's messages (proto/etcd), without gRPC. `root` is
// what all keys of a cluster begin with in etcd, and nowhere else.

// "HOST:PORT,HOST:PORT". INVALID_ARGUMENT names what is none.
StatusOr<std::vector<std::string>> ParseEtcdEndpoints(std::string_view text);

// Key and end of the range of all keys that begin with `prefix`, as etcd's API has it: the end is
// the first key behind them; one zero byte where there is none.
struct EtcdRange {
  std::string key;
  std::string end;
};
EtcdRange RangeOf(const std::string& prefix);

etcdserverpb::TxnRequest ToTxn(const std::string& root, const Transaction& transaction);
KeyValue ToRecord(const std::string& root, const mvccpb::KeyValue& found);
// Without those before `from_revision`: etcd before 3.4.25 may send them to a watch that moved to a
// member which was far behind.
std::vector<WatchEvent> ToEvents(const std::string& root, uint64_t from_revision,
                                 const etcdserverpb::WatchResponse& response);
// Whole seconds, etcd's unit of time, not less than `ttl`.
int64_t ToSeconds(Duration ttl);
// For messages: the keys of a transaction, at most a few.
std::string KeysOf(const Transaction& transaction);

}  // namespace vswap
