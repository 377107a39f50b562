#include "services/cluster/watch_hub.h"

#include <algorithm>
#include <iterator>
#include <optional>

namespace vswap {

// Tells one handler what it is given, one call at a time. Thread-safe.
class WatchHub::Watcher {
 public:
  struct Update {
    std::vector<WatchEvent> events;
    std::optional<std::vector<KeyValue>> records;
    uint64_t revision = 0;
  };

  Watcher(std::string watched, uint64_t from, WatchHandler handler)
      : prefix(std::move(watched)),
        from_revision(from),
        handler_(std::make_shared<const WatchHandler>(std::move(handler))) {}

  const std::string prefix;
  const uint64_t from_revision;

  void Add(Update update) {
    MutexLock lock(mutex_);
    pending_.push_back(std::move(update));
  }
  // False where it has ended, or nothing of `events` is for it.
  bool AddEvents(const std::vector<WatchEvent>& events) {
    Update update;
    std::ranges::copy_if(events, std::back_inserter(update.events), [&](const WatchEvent& event) {
      return event.key.starts_with(prefix) && event.revision >= from_revision;
    });
    if (update.events.empty()) {
      return false;
    }
    Add(std::move(update));
    return true;
  }
  bool ended() const {
    MutexLock lock(mutex_);
    return ended_;
  }
  void End() {
    std::shared_ptr<const WatchHandler> handler;
    std::deque<Update> pending;
    MutexLock lock(mutex_);
    ended_ = true;
    handler.swap(handler_);
    pending.swap(pending_);
  }
  // Until nothing is left. Whoever comes meanwhile leaves it to the one who is at it.
  void Drain() {
    mutex_.Lock();
    if (draining_) {
      return mutex_.Unlock();
    }
    draining_ = true;
    while (!ended_ && !pending_.empty()) {
      Update update = std::move(pending_.front());
      pending_.pop_front();
      const std::shared_ptr<const WatchHandler> handler = handler_;
      mutex_.Unlock();
      if (update.records) {
        handler->on_resync(*std::move(update.records), update.revision);
      } else {
        handler->on_events(std::move(update.events));
      }
      mutex_.Lock();
    }
    draining_ = false;
    mutex_.Unlock();
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const WatchHandler> handler_ GUARDED_BY(mutex_);
  std::deque<Update> pending_ GUARDED_BY(mutex_);
  bool draining_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;
};

namespace {

class HubHandle : public WatchHandle {
 public:
  explicit HubHandle(std::shared_ptr<WatchHub::Watcher> watcher) : watcher_(std::move(watcher)) {}
  ~HubHandle() override { watcher_->End(); }

 private:
  const std::shared_ptr<WatchHub::Watcher> watcher_;
};

}  // namespace

std::shared_ptr<WatchHub::Watcher> WatchHub::Make(std::string prefix, uint64_t from_revision,
                                                  WatchHandler handler) {
  return std::make_shared<Watcher>(std::move(prefix), from_revision, std::move(handler));
}

const std::string& WatchHub::PrefixOf(const Watcher& watcher) { return watcher.prefix; }

std::unique_ptr<WatchHandle> WatchHub::HandleOf(std::shared_ptr<Watcher> watcher) {
  return std::make_unique<HubHandle>(std::move(watcher));
}

bool WatchHub::NeedsResync(const Watcher& watcher) const {
  MutexLock lock(mutex_);
  return watcher.from_revision < history_from_;
}

void WatchHub::Begin(const std::shared_ptr<Watcher>& watcher, uint64_t revision,
                     std::vector<KeyValue> records) {
  MutexLock lock(mutex_);
  if (watcher->from_revision < history_from_) {
    watcher->Add({{}, std::move(records), revision});
  } else {
    for (const std::vector<WatchEvent>& events : history_) {
      watcher->AddEvents(events);
    }
  }
  watchers_.push_back(watcher);
  undelivered_.push_back(watcher);
}

void WatchHub::Publish(std::vector<WatchEvent> events) {
  MutexLock lock(mutex_);
  if (events.empty()) {
    return;
  }
  std::erase_if(watchers_, [](const auto& watcher) { return watcher->ended(); });
  for (const std::shared_ptr<Watcher>& watcher : watchers_) {
    if (watcher->AddEvents(events)) {
      undelivered_.push_back(watcher);
    }
  }
  history_.push_back(std::move(events));
  while (history_.size() > revisions_max_) {
    history_from_ = history_.front().front().revision + 1;
    history_.pop_front();
  }
}

void WatchHub::Deliver() {
  std::vector<std::shared_ptr<Watcher>> undelivered;
  {
    MutexLock lock(mutex_);
    undelivered.swap(undelivered_);
  }
  for (std::shared_ptr<Watcher>& watcher : undelivered) {
    if (executor_ == nullptr) {
      watcher->Drain();
    } else {
      executor_->Post([watcher = std::move(watcher)] { watcher->Drain(); });
    }
  }
}

void WatchHub::Compact(uint64_t revision) {
  MutexLock lock(mutex_);
  while (!history_.empty() && history_.front().front().revision <= revision) {
    history_.pop_front();
  }
  history_from_ = std::max(history_from_, revision + 1);
}

}  // namespace vswap
