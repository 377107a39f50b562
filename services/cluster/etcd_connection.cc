#include "services/cluster/etcd_connection.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>

namespace vswap {
namespace {

// etcd ends connections that ping more often than every 5 s (its flag --grpc-keepalive-min-time).
constexpr int kPingMs = 6000;
constexpr int kPingTimeoutMs = 4000;
constexpr int kReconnectMinMs = 100;
constexpr int kReconnectMaxMs = 3000;
// A list of all records: 4096 shards and thousands of nodes and sets of some 100 bytes.
constexpr int kMessageBytesMax = 64 << 20;
constexpr Duration kAttemptMin = std::chrono::seconds(1);

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kPingMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMinMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMinMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMaxMs);
  // A transaction goes out once: nobody below repeats it.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  return arguments;
}

}  // namespace

EtcdConnection::EtcdConnection(const EtcdOptions& options, Executor& executor)
    : options_(options), executor_(executor) {
  for (const std::string& address : options_.endpoints) {
    Endpoint endpoint;
    endpoint.address = address;
    endpoint.channel =
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), Arguments());
    endpoint.kv = etcdserverpb::KV::NewStub(endpoint.channel);
    endpoint.lease = etcdserverpb::Lease::NewStub(endpoint.channel);
    endpoint.watch = etcdserverpb::Watch::NewStub(endpoint.channel);
    endpoints_.push_back(std::move(endpoint));
  }
}

size_t EtcdConnection::current() const {
  MutexLock lock(mutex_);
  return current_;
}

bool EtcdConnection::IsReady(size_t i) const {
  return endpoints_[i].channel->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY;
}

void EtcdConnection::Failed(size_t i, const std::string& why) {
  bool first = false;
  {
    MutexLock lock(mutex_);
    if (current_ != i || closing_) {
      return;
    }
    current_ = (i + 1) % endpoints_.size();
    first = std::exchange(well_, false);
  }
  if (first) {
    spdlog::warn("etcd {}: {}", endpoints_[i].address, why);
  }
}

void EtcdConnection::Succeeded() {
  MutexLock lock(mutex_);
  well_ = true;
}

bool EtcdConnection::Begin(const std::shared_ptr<Call>& call) {
  MutexLock lock(mutex_);
  if (closing_) {
    return false;
  }
  calls_[call.get()] = call;
  return true;
}

void EtcdConnection::End(Call* call) {
  MutexLock lock(mutex_);
  calls_.erase(call);
  ended_.NotifyAll();
}

void EtcdConnection::Close() {
  std::vector<std::shared_ptr<Call>> calls;
  {
    MutexLock lock(mutex_);
    closing_ = true;
    for (const auto& [key, weak] : calls_) {
      if (auto call = weak.lock()) {
        calls.push_back(std::move(call));
      }
    }
  }
  for (const std::shared_ptr<Call>& call : calls) {
    call->Cancel();
  }
  calls.clear();
  MutexLock lock(mutex_);
  while (!calls_.empty()) {
    ended_.Wait(mutex_);
  }
}

void EtcdConnection::After(Duration delay, std::function<void()> task,
                           std::function<void()> closed) {
  executor_.PostAfter(
      delay, [weak = weak_from_this(), task = std::move(task), closed = std::move(closed)] {
        if (const auto self = weak.lock()) {
          task();
        } else if (closed) {
          closed();
        }
      });
}

Duration EtcdConnection::Backoff(int failures) const {
  thread_local std::minstd_rand random(std::random_device{}());
  const int doublings = std::clamp(failures - 1, 0, 20);
  const Duration whole = std::min(options_.backoff_min * (1 << doublings), options_.backoff_max);
  return whole / 2 +
         Duration(std::uniform_int_distribution<Duration::rep>(0, whole.count() / 2)(random));
}

Status EtcdConnection::ToStatus(const grpc::Status& status, size_t i,
                                const std::string& doing) const {
  return MakeError(static_cast<StatusCode>(status.error_code()),
                   "etcd " + endpoints_[i].address + ": " + doing + ": " + status.error_message());
}

void EtcdConnection::Range(etcdserverpb::RangeRequest request, std::string doing, RangeDone done) {
  using etcdserverpb::RangeRequest;
  using etcdserverpb::RangeResponse;
  Repeat<RangeRequest, RangeResponse>(
      {.sender =
           [](const Endpoint& endpoint, grpc::ClientContext* context, const RangeRequest* sent,
              RangeResponse* response, std::function<void(grpc::Status)> answered) {
             endpoint.kv->async()->Range(context, sent, response, std::move(answered));
           },
       .request = std::move(request),
       .doing = std::move(doing),
       .done = [done = std::move(done)](StatusOr<RangeResponse> response, size_t endpoint,
                                        int) { done(std::move(response), endpoint); }});
}

// What a broken or overloaded way, or a member without a leader, answers.
bool EtcdConnection::MayHelpToRepeat(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNKNOWN:
      return true;
    default:
      return false;
  }
}

// Leaves time for the other endpoints, where this one does not answer at all.
Duration EtcdConnection::AttemptTimeout(TimePoint deadline) const {
  const Duration left = deadline - std::chrono::steady_clock::now();
  const Duration share = options_.timeout / static_cast<int>(endpoints_.size());
  return std::min(left, std::max(share, kAttemptMin));
}

}  // namespace vswap
