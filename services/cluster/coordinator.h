#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "services/cluster/node.h"
#include "services/common/executor.h"

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
// Bodies: LocalCoordinator (a file in the data directory) and EtcdCoordinator.
struct KeyValue {
  std::string key;
  std::string value;
  // Of the key's last change, from 1; grows with every transaction of the whole store.
  uint64_t revision = 0;
};

// Names a lease; 0: none.
using LeaseId = uint64_t;

struct Transaction {
  struct Compare {
    std::string key;
    uint64_t revision = 0;  // 0: the key does not exist
  };
  struct Put {
    std::string key;
    std::string value;
    // The key goes when this lease ends, or with the next put that names another one or none.
    LeaseId lease = 0;
  };
  std::vector<Compare> compares;  // all must hold
  std::vector<Put> puts;
  std::vector<std::string> deletes;
};

struct TransactionReply {
  bool succeeded = false;  // false: a compare did not hold, nothing changed
  uint64_t revision = 0;   // of the store, after it
};

struct Lease {
  LeaseId id = 0;
  Duration ttl{0};  // as granted: not less than asked for
  // Until when it surely holds, in nanoseconds of the steady clock; grows with every renewal. Null:
  // until `lost` is called.
  std::shared_ptr<const std::atomic<TimePoint::rep>> valid_until = nullptr;
};

struct WatchEvent {
  std::string key;
  std::optional<std::string> value;  // nothing: the key is gone
  uint64_t revision = 0;             // of the change
};

// Whom a watch tells. Its calls come one at a time and in order, on any thread, with no lock held.
struct WatchHandler {
  // Changes, in order of their revisions; one revision's are never cut apart. Never empty.
  std::function<void(std::vector<WatchEvent>)> on_events;
  // All keys that begin with the prefix, in key order, as of `revision`: whatever was known before
  // is replaced. The changes after `revision` follow.
  std::function<void(std::vector<KeyValue> records, uint64_t revision)> on_resync;
};

// A watch goes on until this is destroyed: then no call of its handler begins any more; one that
// has begun on another thread may still run. May be destroyed in such a call. Goes before its
// coordinator.
class WatchHandle {
 public:
  virtual ~WatchHandle() = default;
};

// Thread-safe; callbacks as for Node. An error status of Commit means that its effect is unknown,
// but for INVALID_ARGUMENT and NOT_FOUND: nothing has changed.
class Coordinator {
 public:
  virtual ~Coordinator() = default;
  virtual void Get(std::string key, Callback<std::optional<KeyValue>> done) = 0;
  // All keys that begin with `prefix`, in key order, as of one revision.
  virtual void List(std::string prefix, Callback<std::vector<KeyValue>> done) = 0;
  // Durable when it has answered. NOT_FOUND: a put's lease has ended.
  virtual void Commit(Transaction transaction, Callback<TransactionReply> done) = 0;

  // A lease of at least `ttl` (more than 0; bodies round up), which is kept alive until
  // it is revoked, lost, or the coordinator is destroyed; after the last two it ends by itself once
  // its time is over. `lost` is called at most once, on any thread: with NOT_FOUND when the lease
  // is known to have ended; with UNAVAILABLE when nothing has confirmed it for the whole of its
  // time, so that it may have ended (ask for its revocation to be sure). A new one is the owner's
  // decision. An error status: no lease that outlives `ttl`.
  virtual void GrantLease(Duration ttl, std::function<void(Status)> lost, Callback<Lease> done) = 0;
  // Ends a lease, and with it its keys, in one revision. A lease that has ended already is no
  // error. From the call on `lost` is not called any more (it may be running).
  virtual void RevokeLease(LeaseId lease, Callback<LeaseId> done) = 0;

  // Tells of the changes to keys that begin with `prefix` from `from_revision` on, that one
  // included, however often the way to the store breaks: none is lost, none is told twice. Where
  // that history is not kept any more, and with `from_revision` 0, begins with on_resync.
  [[nodiscard]] virtual std::unique_ptr<WatchHandle> Watch(std::string prefix,
                                                           uint64_t from_revision,
                                                           WatchHandler handler) = 0;
};

}  // namespace vswap
