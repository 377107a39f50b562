#include "services/cluster/etcd_lease.h"

#include <algorithm>

#include "services/cluster/etcd_connection.h"

namespace vswap {
namespace {

constexpr int kRenewalsPerTtl = 3;
constexpr int kDenialsBelieved = 2;
constexpr Duration kAskAgain = std::chrono::milliseconds(50);

}  // namespace

// One LeaseKeepAlive call. A read is under way from its beginning to its end, so that gRPC keeps it
// as long as the lease calls it current.
class EtcdLease::Stream : public EtcdConnection::Call,
                          public grpc::ClientBidiReactor<etcdserverpb::LeaseKeepAliveRequest,
                                                         etcdserverpb::LeaseKeepAliveResponse> {
 public:
  Stream(std::shared_ptr<EtcdLease> lease, EtcdConnection& connection, size_t on_endpoint)
      : endpoint(on_endpoint), connection_(connection), lease_(std::move(lease)) {
    request_.set_id(static_cast<int64_t>(lease_->id_));
    context_.AddMetadata("hasleader", "true");
  }

  const size_t endpoint;

  void Begin(std::shared_ptr<Stream> self) {
    self_ = std::move(self);
    connection_.endpoint(endpoint).lease->async()->LeaseKeepAlive(&context_, this);
    StartRead(&response_);
    StartCall();
  }
  void Ask() { StartWrite(&request_); }
  void Cancel() override { context_.TryCancel(); }

  void OnWriteDone(bool) override { lease_->OnWritten(this); }
  void OnReadDone(bool ok) override {
    if (!ok) {
      return;
    }
    if (static_cast<LeaseId>(response_.id()) == lease_->id_) {
      lease_->OnAnswer(this, response_.ttl());
    }
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    EtcdConnection& connection = connection_;
    EtcdConnection::Call* const key = this;
    lease_->OnStreamEnd(this, status.error_message());
    std::exchange(self_, nullptr).reset();
    connection.End(key);
  }

 private:
  EtcdConnection& connection_;
  const std::shared_ptr<EtcdLease> lease_;
  grpc::ClientContext context_;
  etcdserverpb::LeaseKeepAliveRequest request_;
  etcdserverpb::LeaseKeepAliveResponse response_;
  std::shared_ptr<Stream> self_;
};

EtcdLease::EtcdLease(EtcdConnection& connection, Lease lease, TimePoint asked_at,
                     std::function<void(Status)> lost)
    : connection_(connection),
      id_(lease.id),
      lost_(std::move(lost)),
      ttl_(lease.ttl),
      valid_until_(asked_at + lease.ttl),
      told_valid_until_(
          std::make_shared<std::atomic<TimePoint::rep>>(valid_until_.time_since_epoch().count())),
      renew_at_(asked_at + lease.ttl / kRenewalsPerTtl) {}

void EtcdLease::Stop() {
  std::function<void(Status)> lost;
  MutexLock lock(mutex_);
  ended_ = true;
  lost.swap(lost_);
  DropStreamLocked();
}

void EtcdLease::Step() {
  MutexLock lock(mutex_);
  const TimePoint now = std::chrono::steady_clock::now();
  if (alarm_ <= now) {
    alarm_ = TimePoint::max();
  }
  if (!ended_) {
    const TimePoint next = StepLocked(now);
    if (!ended_) {
      AwakeAtLocked(next, now);
    }
  }
}

TimePoint EtcdLease::StepLocked(TimePoint now) {
  if (now >= valid_until_) {
    LoseLocked(MakeError(StatusCode::kUnavailable,
                         "lease " + std::to_string(id_) + ": not renewed for the whole of its " +
                             std::to_string(ttl_ / std::chrono::seconds(1)) +
                             " s: it may have ended"));
    return now;
  }
  const Duration third = ttl_ / kRenewalsPerTtl;
  if (stream_ != nullptr && asking_ && now >= asked_at_ + third) {
    connection_.Failed(stream_->endpoint, "does not answer a lease's renewal");
    DropStreamLocked();
  }
  if (stream_ == nullptr && now >= reopen_at_) {
    OpenLocked();
  }
  if (stream_ == nullptr) {
    return std::min(valid_until_, std::max(reopen_at_, now + kAskAgain));
  }
  if (!asking_ && !writing_ && now >= renew_at_) {
    AskLocked(now);
  }
  return std::min(valid_until_, asking_ ? asked_at_ + third : std::max(renew_at_, now + kAskAgain));
}

void EtcdLease::AwakeAtLocked(TimePoint due, TimePoint now) {
  if (due >= alarm_) {
    return;
  }
  alarm_ = due;
  connection_.After(due - now, [self = shared_from_this()] { self->Step(); });
}

void EtcdLease::OpenLocked() {
  auto stream = std::make_shared<Stream>(shared_from_this(), connection_, connection_.current());
  if (!connection_.Begin(stream)) {
    ended_ = true;  // closed
    return;
  }
  stream_ = stream;
  asking_ = false;
  writing_ = false;
  stream->Begin(stream);
}

void EtcdLease::AskLocked(TimePoint now) {
  asking_ = true;
  writing_ = true;
  asked_at_ = now;
  stream_->Ask();
}

void EtcdLease::DropStreamLocked() {
  if (stream_ != nullptr) {
    stream_->Cancel();
    stream_.reset();
  }
}

void EtcdLease::LoseLocked(const Status& why) {
  ended_ = true;
  DropStreamLocked();
  connection_.executor().Post([lost = std::exchange(lost_, nullptr), why] { lost(why); });
}

void EtcdLease::OnWritten(Stream* stream) {
  MutexLock lock(mutex_);
  if (stream_.get() == stream) {
    writing_ = false;
  }
}

void EtcdLease::OnAnswer(Stream* stream, int64_t ttl_s) {
  MutexLock lock(mutex_);
  if (stream_.get() != stream || !asking_ || ended_) {
    return;
  }
  asking_ = false;
  failures_ = 0;
  connection_.Succeeded();
  if (ttl_s > 0) {
    denials_ = 0;
    ttl_ = std::chrono::seconds(ttl_s);
    valid_until_ = asked_at_ + ttl_;
    *told_valid_until_ = valid_until_.time_since_epoch().count();
    renew_at_ = asked_at_ + ttl_ / kRenewalsPerTtl;
  } else if (++denials_ < kDenialsBelieved) {
    renew_at_ = std::chrono::steady_clock::now() + kAskAgain;
  } else {
    LoseLocked(MakeError(StatusCode::kNotFound, "etcd " +
                                                    connection_.endpoint(stream->endpoint).address +
                                                    ": there is no lease " + std::to_string(id_)));
  }
  StepSoon();
}

void EtcdLease::OnStreamEnd(Stream* stream, const std::string& why) {
  std::shared_ptr<Stream> ended;
  MutexLock lock(mutex_);
  if (stream_.get() != stream || ended_) {
    return;
  }
  ended.swap(stream_);
  connection_.Failed(stream->endpoint, why);
  reopen_at_ = std::chrono::steady_clock::now() +
               std::min(connection_.Backoff(++failures_), ttl_ / (4 * kRenewalsPerTtl));
  StepSoon();
}

void EtcdLease::StepSoon() {
  connection_.After(Duration::zero(), [self = shared_from_this()] { self->Step(); });
}

}  // namespace vswap
