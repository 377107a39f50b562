#include "services/cluster/etcd_watch.h"

#include <algorithm>

#include "services/cluster/etcd_connection.h"
#include "services/cluster/etcd_wire.h"

namespace vswap {
namespace {

// One watch. What has arrived is told before more is read: so that a slow handler holds up etcd,
// and nothing piles up here.
//
// Thread-safe; held by its handle, its stream, and the task that tells or waits.
class EtcdWatch : public std::enable_shared_from_this<EtcdWatch> {
 public:
  EtcdWatch(EtcdConnection& connection, std::string prefix, uint64_t from_revision,
            WatchHandler handler)
      : connection_(connection),
        prefix_(std::move(prefix)),
        handler_(std::make_shared<const WatchHandler>(std::move(handler))),
        next_revision_(from_revision) {}

  void Start() { Soon(Duration::zero()); }
  void End();

 private:
  class Stream;

  // Opens the stream, or reads all first where there is no revision to go on from.
  void Go();
  void Open() EXCLUDES(mutex_);
  void Resync();
  void Soon(Duration delay) {
    connection_.After(delay, [self = shared_from_this()] { self->Go(); });
  }
  void DropStreamLocked() REQUIRES(mutex_);
  std::shared_ptr<const WatchHandler> handler() {
    MutexLock lock(mutex_);
    return handler_;
  }

  // On gRPC's threads. OnResponse: whether to read on at once.
  bool OnResponse(Stream* stream, const etcdserverpb::WatchResponse& response);
  void OnCanceledLocked(const etcdserverpb::WatchResponse& response) REQUIRES(mutex_);
  void OnStreamEnd(Stream* stream, const std::string& why);
  // On the executor.
  void Tell(const std::shared_ptr<Stream>& stream, std::vector<WatchEvent> events);

  EtcdConnection& connection_;
  const std::string prefix_;
  Mutex mutex_;
  std::shared_ptr<const WatchHandler> handler_ GUARDED_BY(mutex_);  // null: ended
  uint64_t next_revision_ GUARDED_BY(mutex_);  // the first not told yet; 0: to be read first
  std::shared_ptr<Stream> stream_ GUARDED_BY(mutex_);
  int failures_ GUARDED_BY(mutex_) = 0;  // in a row
};

// One Watch call with one watch on it. Between a response and the next read nothing of it is under
// way, so that a hold keeps it.
class EtcdWatch::Stream
    : public EtcdConnection::Call,
      public grpc::ClientBidiReactor<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse> {
 public:
  Stream(std::shared_ptr<EtcdWatch> watch, EtcdConnection& connection, size_t on_endpoint,
         const EtcdRange& range, uint64_t from_revision)
      : endpoint(on_endpoint), connection_(connection), watch_(std::move(watch)) {
    etcdserverpb::WatchCreateRequest* const create = request_.mutable_create_request();
    create->set_key(range.key);
    create->set_range_end(range.end);
    create->set_start_revision(static_cast<int64_t>(from_revision));
    context_.AddMetadata("hasleader", "true");
  }

  const size_t endpoint;

  void Begin(std::shared_ptr<Stream> self) {
    MutexLock lock(mutex_);
    self_ = std::move(self);
    connection_.endpoint(endpoint).watch->async()->Watch(&context_, this);
    AddHold();
    held_ = true;
    reading_ = true;
    StartWrite(&request_);
    StartRead(&response_);
    StartCall();
  }
  void ReadOn() {
    MutexLock lock(mutex_);
    if (held_) {
      reading_ = true;
      StartRead(&response_);
    }
  }
  void Cancel() override {
    MutexLock lock(mutex_);
    context_.TryCancel();
    if (held_ && !reading_) {
      LetGoLocked();
    }
  }

  void OnReadDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      reading_ = false;
      if (!ok && held_) {
        return LetGoLocked();
      }
    }
    if (watch_->OnResponse(this, response_)) {
      ReadOn();
    }
  }
  void OnDone(const grpc::Status& status) override {
    EtcdConnection& connection = connection_;
    EtcdConnection::Call* const key = this;
    watch_->OnStreamEnd(this, status.error_message());
    std::shared_ptr<Stream> self;
    {
      MutexLock lock(mutex_);
      self.swap(self_);
    }
    self.reset();
    connection.End(key);
  }

 private:
  void LetGoLocked() REQUIRES(mutex_) {
    held_ = false;
    RemoveHold();
  }

  EtcdConnection& connection_;
  const std::shared_ptr<EtcdWatch> watch_;
  grpc::ClientContext context_;
  etcdserverpb::WatchRequest request_;
  etcdserverpb::WatchResponse response_;
  Mutex mutex_;
  std::shared_ptr<Stream> self_ GUARDED_BY(mutex_);
  bool held_ GUARDED_BY(mutex_) = false;
  bool reading_ GUARDED_BY(mutex_) = false;
};

void EtcdWatch::End() {
  std::shared_ptr<const WatchHandler> handler;
  MutexLock lock(mutex_);
  handler.swap(handler_);
  DropStreamLocked();
}

void EtcdWatch::DropStreamLocked() {
  if (stream_ != nullptr) {
    stream_->Cancel();
    stream_.reset();
  }
}

void EtcdWatch::Go() {
  bool resync = false;
  {
    MutexLock lock(mutex_);
    if (handler_ == nullptr || stream_ != nullptr) {
      return;
    }
    resync = next_revision_ == 0;
  }
  resync ? Resync() : Open();
}

void EtcdWatch::Open() {
  MutexLock lock(mutex_);
  auto stream =
      std::make_shared<Stream>(shared_from_this(), connection_, connection_.current(),
                               RangeOf(connection_.options().root + prefix_), next_revision_);
  if (handler_ != nullptr && stream_ == nullptr && connection_.Begin(stream)) {
    stream_ = stream;
    stream->Begin(stream);
  }
}

void EtcdWatch::Resync() {
  const auto done = [self = shared_from_this(),
                     weak = connection_.weak_from_this()](StatusOr<EtcdListing> listing) {
    const auto connection = weak.lock();
    if (connection == nullptr) {
      return;
    }
    if (!listing.ok()) {
      MutexLock lock(self->mutex_);
      return self->Soon(connection->Backoff(++self->failures_));
    }
    {
      MutexLock lock(self->mutex_);
      self->next_revision_ = listing->revision + 1;
    }
    connection->After(Duration::zero(), [self, listing = *std::move(listing)]() mutable {
      if (const auto told = self->handler()) {
        told->on_resync(std::move(listing.records), listing.revision);
        self->Go();
      }
    });
  };
  ListEtcd(connection_, prefix_, done);
}

bool EtcdWatch::OnResponse(Stream* stream, const etcdserverpb::WatchResponse& response) {
  MutexLock lock(mutex_);
  if (stream_.get() != stream) {
    stream->Cancel();
    return false;
  }
  if (response.canceled()) {
    OnCanceledLocked(response);
    return false;
  }
  failures_ = 0;
  connection_.Succeeded();
  std::vector<WatchEvent> events = ToEvents(connection_.options().root, next_revision_, response);
  if (events.empty()) {
    return true;
  }
  next_revision_ = events.back().revision + 1;
  connection_.After(Duration::zero(), [self = shared_from_this(), held = stream_,
                                       events = std::move(events)]() mutable {
    self->Tell(held, std::move(events));
  });
  return false;
}

void EtcdWatch::OnCanceledLocked(const etcdserverpb::WatchResponse& response) {
  if (response.compact_revision() == 0) {
    return stream_->Cancel();  // its end, which follows, leads to another attempt
  }
  next_revision_ = 0;
  DropStreamLocked();
  Soon(Duration::zero());
}

void EtcdWatch::Tell(const std::shared_ptr<Stream>& stream, std::vector<WatchEvent> events) {
  if (const auto told = handler()) {
    told->on_events(std::move(events));
  }
  stream->ReadOn();
}

void EtcdWatch::OnStreamEnd(Stream* stream, const std::string& why) {
  std::shared_ptr<Stream> ended;
  MutexLock lock(mutex_);
  if (stream_.get() != stream) {
    return;
  }
  ended.swap(stream_);
  connection_.Failed(stream->endpoint, why);
  Soon(connection_.Backoff(++failures_));
}

class EtcdWatchHandle : public WatchHandle {
 public:
  explicit EtcdWatchHandle(std::shared_ptr<EtcdWatch> watch) : watch_(std::move(watch)) {}
  ~EtcdWatchHandle() override { watch_->End(); }

 private:
  const std::shared_ptr<EtcdWatch> watch_;
};

}  // namespace

void ListEtcd(EtcdConnection& connection, const std::string& prefix,
              std::function<void(StatusOr<EtcdListing>)> done) {
  const std::string& root = connection.options().root;
  EtcdRange range = RangeOf(root + prefix);
  etcdserverpb::RangeRequest request;
  request.set_key(std::move(range.key));
  request.set_range_end(std::move(range.end));
  connection.Range(
      std::move(request), "listing " + prefix,
      [root, done = std::move(done)](StatusOr<etcdserverpb::RangeResponse> response, size_t) {
        if (!response.ok()) {
          return done(response.status());
        }
        EtcdListing listing;
        listing.revision = static_cast<uint64_t>(response->header().revision());
        for (const mvccpb::KeyValue& found : response->kvs()) {
          listing.records.push_back(ToRecord(root, found));
        }
        done(std::move(listing));
      });
}

std::unique_ptr<WatchHandle> WatchEtcd(EtcdConnection& connection, std::string prefix,
                                       uint64_t from_revision, WatchHandler handler) {
  auto watch =
      std::make_shared<EtcdWatch>(connection, std::move(prefix), from_revision, std::move(handler));
  watch->Start();
  return std::make_unique<EtcdWatchHandle>(std::move(watch));
}

}  // namespace vswap
