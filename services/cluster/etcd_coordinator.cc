#include "services/cluster/etcd_coordinator.h"

#include <random>

#include "services/cluster/etcd_connection.h"
#include "services/cluster/etcd_lease.h"
#include "services/cluster/etcd_watch.h"
#include "services/cluster/etcd_wire.h"
#include "services/cluster/transaction.h"

namespace vswap {
namespace {

using Endpoint = EtcdConnection::Endpoint;
using etcdserverpb::LeaseGrantRequest;
using etcdserverpb::LeaseGrantResponse;
using etcdserverpb::LeaseRevokeRequest;
using etcdserverpb::LeaseRevokeResponse;
using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using etcdserverpb::TxnRequest;
using etcdserverpb::TxnResponse;

// Chosen here, so that a grant may be repeated; etcd's are positive.
LeaseId NewLeaseId() {
  std::random_device device;
  const uint64_t number = (static_cast<uint64_t>(device()) << 32) | device();
  return (number >> 1) | 1;
}

void SendTxn(const Endpoint& endpoint, grpc::ClientContext* context, const TxnRequest* request,
             TxnResponse* response, std::function<void(grpc::Status)> done) {
  endpoint.kv->async()->Txn(context, request, response, std::move(done));
}
void SendGrant(const Endpoint& endpoint, grpc::ClientContext* context,
               const LeaseGrantRequest* request, LeaseGrantResponse* response,
               std::function<void(grpc::Status)> done) {
  endpoint.lease->async()->LeaseGrant(context, request, response, std::move(done));
}
void SendRevoke(const Endpoint& endpoint, grpc::ClientContext* context,
                const LeaseRevokeRequest* request, LeaseRevokeResponse* response,
                std::function<void(grpc::Status)> done) {
  endpoint.lease->async()->LeaseRevoke(context, request, response, std::move(done));
}

// Codes by which etcd says that it has done nothing.
bool ChangedNothing(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::INVALID_ARGUMENT ||
         status.error_code() == grpc::StatusCode::NOT_FOUND;
}

}  // namespace

StatusOr<std::unique_ptr<EtcdCoordinator>> EtcdCoordinator::Open(const EtcdOptions& options,
                                                                 Executor& executor) {
  if (options.endpoints.empty()) {
    return InvalidField("etcd", "''", "HOST:PORT,HOST:PORT");
  }
  return std::unique_ptr<EtcdCoordinator>(new EtcdCoordinator(options, executor));
}

EtcdCoordinator::EtcdCoordinator(const EtcdOptions& options, Executor& executor)
    : executor_(executor), connection_(std::make_shared<EtcdConnection>(options, executor)) {}

EtcdCoordinator::~EtcdCoordinator() { connection_->Close(); }

template <typename T>
Callback<T> EtcdCoordinator::OnExecutor(Callback<T> done) {
  return [&executor = executor_, done = std::move(done)](StatusOr<T> answer) {
    executor.Post([done, answer = std::move(answer)]() mutable { done(std::move(answer)); });
  };
}

void EtcdCoordinator::Get(std::string key, Callback<std::optional<KeyValue>> done) {
  const std::string& root = connection_->options().root;
  RangeRequest request;
  request.set_key(root + key);
  if (request.key().empty()) {
    return executor_.Post([done = std::move(done)] { done(std::optional<KeyValue>()); });
  }
  connection_->Range(
      std::move(request), "reading " + key,
      [root, done = OnExecutor(std::move(done))](StatusOr<RangeResponse> response, size_t) {
        if (!response.ok()) {
          return done(response.status());
        }
        done(response->kvs().empty() ? std::optional<KeyValue>()
                                     : ToRecord(root, response->kvs(0)));
      });
}

void EtcdCoordinator::List(std::string prefix, Callback<std::vector<KeyValue>> done) {
  ListEtcd(*connection_, prefix,
           [done = OnExecutor(std::move(done))](StatusOr<EtcdListing> listing) {
             done(listing.ok() ? StatusOr<std::vector<KeyValue>>(std::move(listing->records))
                               : listing.status());
           });
}

// An endpoint is asked something harmless first where no connection is known to be up: so that
// what cannot be sent is not taken for sent.
void EtcdCoordinator::Commit(Transaction transaction, Callback<TransactionReply> done) {
  done = OnExecutor(std::move(done));
  const Status valid = ValidateTransaction(transaction);
  if (!valid.ok()) {
    return done(valid);
  }
  const size_t current = connection_->current();
  if (connection_->IsReady(current)) {
    return CommitAt(current, transaction, std::move(done));
  }
  RangeRequest knock;
  knock.set_key(RangeOf(connection_->options().root).key);
  knock.set_keys_only(true);
  knock.set_limit(1);
  connection_->Range(std::move(knock),
                     "connecting to change " + KeysOf(transaction) + " (not sent)",
                     [this, transaction, done = std::move(done)](
                         const StatusOr<RangeResponse>& response, size_t endpoint) {
                       if (!response.ok()) {
                         return done(response.status());
                       }
                       CommitAt(endpoint, transaction, done);
                     });
}

void EtcdCoordinator::CommitAt(size_t endpoint, const Transaction& transaction,
                               Callback<TransactionReply> done) {
  const EtcdOptions& options = connection_->options();
  connection_->Send<TxnRequest, TxnResponse>(
      endpoint, options.timeout, SendTxn, ToTxn(options.root, transaction),
      [connection = connection_.get(), endpoint, keys = KeysOf(transaction),
       done = std::move(done)](const grpc::Status& status, const TxnResponse& response) {
        if (status.ok()) {
          return done(TransactionReply{response.succeeded(),
                                       static_cast<uint64_t>(response.header().revision())});
        }
        if (ChangedNothing(status)) {
          return done(connection->ToStatus(status, endpoint, "changing " + keys));
        }
        connection->Failed(endpoint, status.error_message());
        done(connection->ToStatus(status, endpoint, "changing " + keys + " (effect unknown)"));
      });
}

void EtcdCoordinator::GrantLease(Duration ttl, std::function<void(Status)> lost,
                                 Callback<Lease> done) {
  done = OnExecutor(std::move(done));
  const Status valid = ValidateTtl(ttl);
  if (!valid.ok()) {
    return done(valid);
  }
  const LeaseId id = NewLeaseId();
  const int64_t seconds = ToSeconds(ttl);
  LeaseGrantRequest request;
  request.set_id(static_cast<int64_t>(id));
  request.set_ttl(seconds);
  // The time runs from the first attempt: it may be the one that worked.
  connection_->Repeat<LeaseGrantRequest, LeaseGrantResponse>(
      {.sender = SendGrant,
       .request = std::move(request),
       .doing = "granting a lease",
       .done = [this, id, seconds, asked_at = std::chrono::steady_clock::now(),
                lost = std::move(lost), done = std::move(done)](
                   const StatusOr<LeaseGrantResponse>& response, size_t, int failures) {
         const bool repeated =
             failures > 0 && response.status().code() == StatusCode::kFailedPrecondition;
         if (!response.ok() && !repeated) {
           return done(response.status());
         }
         Lease lease{id, std::chrono::seconds(repeated ? seconds : response->ttl())};
         lease.valid_until = Keep(lease, asked_at, lost);
         done(std::move(lease));
       }});
}

std::shared_ptr<const std::atomic<TimePoint::rep>> EtcdCoordinator::Keep(
    const Lease& lease, TimePoint asked_at, std::function<void(Status)> lost) {
  auto kept = std::make_shared<EtcdLease>(*connection_, lease, asked_at, std::move(lost));
  {
    MutexLock lock(mutex_);
    std::erase_if(leases_, [](const auto& entry) { return entry.second.expired(); });
    leases_[lease.id] = kept;
  }
  kept->Start();
  return kept->valid_until();
}

std::shared_ptr<EtcdLease> EtcdCoordinator::TakeLease(LeaseId lease) {
  MutexLock lock(mutex_);
  const auto it = leases_.find(lease);
  if (it == leases_.end()) {
    return nullptr;
  }
  auto kept = it->second.lock();
  leases_.erase(it);
  return kept;
}

void EtcdCoordinator::RevokeLease(LeaseId lease, Callback<LeaseId> done) {
  if (const auto kept = TakeLease(lease)) {
    kept->Stop();
  }
  LeaseRevokeRequest request;
  request.set_id(static_cast<int64_t>(lease));
  connection_->Repeat<LeaseRevokeRequest, LeaseRevokeResponse>(
      {.sender = SendRevoke,
       .request = std::move(request),
       .doing = "revoking lease " + std::to_string(lease),
       .done = [lease, done = OnExecutor(std::move(done))](
                   const StatusOr<LeaseRevokeResponse>& response, size_t, int) {
         const bool over = response.ok() || response.status().code() == StatusCode::kNotFound;
         done(over ? StatusOr<LeaseId>(lease) : response.status());
       }});
}

std::unique_ptr<WatchHandle> EtcdCoordinator::Watch(std::string prefix, uint64_t from_revision,
                                                    WatchHandler handler) {
  return WatchEtcd(*connection_, std::move(prefix), from_revision, std::move(handler));
}

}  // namespace vswap
