#include "tests/sim/sim_coordinator.h"

#include <deque>
#include <utility>

namespace vswap {
namespace {

constexpr int kRenewalsPerTtl = 3;
constexpr Duration kWatchRetry = std::chrono::milliseconds(30);

}  // namespace

// --- The server.

void SimCoordinatorServer::Grant(Duration ttl, const Callback<Lease>& done) {
  memory.GrantLease(
      ttl, [](const Status&) {},
      [&](const StatusOr<Lease>& lease) {
        if (lease.ok()) {
          leases_[lease->id] = {ttl, world_.Now() + ttl};
          ExpireAfter(lease->id, ttl);
        }
        done(lease);
      });
}

void SimCoordinatorServer::Renew(LeaseId lease, const Callback<bool>& done) {
  const auto it = leases_.find(lease);
  if (it == leases_.end()) {
    return done(MakeError(StatusCode::kNotFound, "the lease has ended"));
  }
  it->second.ends = world_.Now() + it->second.ttl;
  done(true);
}

void SimCoordinatorServer::Revoke(LeaseId lease, const Callback<LeaseId>& done) {
  leases_.erase(lease);
  memory.RevokeLease(lease, done);
}

void SimCoordinatorServer::ExpireAfter(LeaseId lease, Duration delay) {
  world_.PostAfter(delay, [this, lease] {
    const auto it = leases_.find(lease);
    if (it == leases_.end()) {
      return;
    }
    if (process.reachable() && it->second.ends <= world_.Now()) {
      leases_.erase(it);
      memory.ExpireLease(lease);
    } else {
      ExpireAfter(lease, it->second.ttl / kRenewalsPerTtl);
    }
  });
}

void SimCoordinatorServer::SetDown(bool down) {
  process.SetDown(down);
  for (auto& [id, lease] : leases_) {
    lease.ends = world_.Now() + lease.ttl;
  }
}

// --- The caller.

void SimCoordinator::Get(std::string key, Callback<std::optional<KeyValue>> done) {
  network_.Call<std::optional<KeyValue>>(
      "coordinator get", from_, server_.process,
      [&coordinator = server_.memory, key = std::move(key)](
          Callback<std::optional<KeyValue>> answer) { coordinator.Get(key, std::move(answer)); },
      std::move(done));
}

void SimCoordinator::List(std::string prefix, Callback<std::vector<KeyValue>> done) {
  network_.Call<std::vector<KeyValue>>(
      "coordinator list", from_, server_.process,
      [&coordinator = server_.memory, prefix = std::move(prefix)](
          Callback<std::vector<KeyValue>> answer) { coordinator.List(prefix, std::move(answer)); },
      std::move(done));
}

void SimCoordinator::Commit(Transaction transaction, Callback<TransactionReply> done) {
  network_.Call<TransactionReply>(
      "coordinator commit", from_, server_.process,
      [&coordinator = server_.memory,
       transaction = std::move(transaction)](Callback<TransactionReply> answer) {
        coordinator.Commit(transaction, std::move(answer));
      },
      std::move(done));
}

// One that is kept.
struct SimCoordinator::Keeping {
  LeaseId id = 0;
  Duration ttl{};
  std::function<void(Status)> lost;  // null: nobody is to be told any more
  std::shared_ptr<std::atomic<TimePoint::rep>> valid_until;
};

void SimCoordinator::GrantLease(Duration ttl, std::function<void(Status)> lost,
                                Callback<Lease> done) {
  const TimePoint asked_at = from_.world().Now();
  network_.Call<Lease>(
      "lease grant", from_, server_.process,
      [&server = server_, ttl](const Callback<Lease>& answer) { server.Grant(ttl, answer); },
      [this, ttl, lost = std::move(lost), done = std::move(done), asked_at](StatusOr<Lease> lease) {
        if (lease.ok()) {
          const auto keeping = std::make_shared<Keeping>();
          keeping->id = lease->id;
          keeping->ttl = ttl;
          keeping->lost = lost;
          const TimePoint ends = forever_ ? TimePoint::max() : asked_at + ttl;
          keeping->valid_until =
              std::make_shared<std::atomic<TimePoint::rep>>(ends.time_since_epoch().count());
          lease->valid_until = keeping->valid_until;
          keepings_[lease->id] = keeping;
          lost_at_[lease->id] = asked_at + ttl;
          RenewLater(keeping);
        }
        done(std::move(lease));
      });
}

void SimCoordinator::RenewLater(const std::shared_ptr<Keeping>& keeping) {
  from_.PostAfter(keeping->ttl / kRenewalsPerTtl, [this, keeping] {
    if (!keeping->lost) {
      return;
    }
    if (!forever_ && from_.world().Now() >= lost_at_[keeping->id]) {
      return Lose(keeping, MakeError(StatusCode::kUnavailable, "nothing has confirmed the lease"));
    }
    Renew(keeping);
    RenewLater(keeping);
  });
}

void SimCoordinator::Renew(const std::shared_ptr<Keeping>& keeping) {
  const TimePoint asked_at = from_.world().Now();
  network_.Call<bool>(
      "lease renewal", from_, server_.process,
      [&server = server_, id = keeping->id](const Callback<bool>& answer) {
        server.Renew(id, answer);
      },
      [this, keeping, asked_at](const StatusOr<bool>& renewed) {
        if (renewed.ok() && keeping->lost) {
          TimePoint& lost_at = lost_at_[keeping->id];
          lost_at = std::max(lost_at, asked_at + keeping->ttl);
          if (!forever_) {
            *keeping->valid_until = lost_at.time_since_epoch().count();
          }
        } else if (renewed.status().code() == StatusCode::kNotFound) {
          Lose(keeping, renewed.status());
        }
      });
}

void SimCoordinator::Lose(const std::shared_ptr<Keeping>& keeping, const Status& why) {
  keepings_.erase(keeping->id);
  if (const auto lost = std::exchange(keeping->lost, nullptr)) {
    lost(why);
  }
}

void SimCoordinator::RevokeLease(LeaseId lease, Callback<LeaseId> done) {
  if (const auto it = keepings_.find(lease); it != keepings_.end()) {
    it->second->lost = nullptr;
    keepings_.erase(it);
  }
  network_.Call<LeaseId>(
      "lease end", from_, server_.process,
      [&server = server_, lease](const Callback<LeaseId>& answer) { server.Revoke(lease, answer); },
      std::move(done));
}

// What a watch is still to be told, in order.
struct SimCoordinator::Stream {
  WatchHandler handler;
  std::deque<std::function<void(const WatchHandler&)>> events;
  bool moving = false;
  bool ended = false;
};

class SimCoordinator::Handle : public WatchHandle {
 public:
  explicit Handle(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  ~Handle() override { stream_->ended = true; }
  std::unique_ptr<WatchHandle> at_server;

 private:
  const std::shared_ptr<Stream> stream_;
};

std::unique_ptr<WatchHandle> SimCoordinator::Watch(std::string prefix, uint64_t from_revision,
                                                   WatchHandler handler) {
  const auto stream = std::make_shared<Stream>();
  stream->handler = std::move(handler);
  const auto push = [this, stream](std::function<void(const WatchHandler&)> event) {
    stream->events.push_back(std::move(event));
    if (!std::exchange(stream->moving, true)) {
      Move(stream);
    }
  };
  auto handle = std::make_unique<Handle>(stream);
  handle->at_server = server_.memory.Watch(
      std::move(prefix), from_revision,
      {.on_events =
           [push](const std::vector<WatchEvent>& events) {
             push([events](const WatchHandler& told) { told.on_events(events); });
           },
       .on_resync =
           [push](const std::vector<KeyValue>& records, uint64_t revision) {
             push([records, revision](const WatchHandler& told) {
               told.on_resync(records, revision);
             });
           }});
  return handle;
}

// One event after the other: a stream keeps the order, however long it takes.
void SimCoordinator::Move(const std::shared_ptr<Stream>& stream) {
  if (stream->ended || !from_.alive() || stream->events.empty()) {
    stream->moving = false;
    return;
  }
  if (!server_.process.reachable() || !network_.Passes(server_.process, from_)) {
    from_.world().PostAfter(kWatchRetry, [this, stream] { Move(stream); });
    return;
  }
  from_.world().PostAfter(network_.DelayOf(server_.process, from_), [this, stream] {
    from_.Deliver([this, stream] {
      if (!stream->ended) {
        network_.Note("watch event", from_.name());
        const auto event = std::move(stream->events.front());
        stream->events.pop_front();
        event(stream->handler);
      }
      Move(stream);
    });
  });
}

}  // namespace vswap
