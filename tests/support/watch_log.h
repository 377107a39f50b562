#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "services/cluster/coordinator.h"
#include "services/common/mutex.h"

namespace vswap {

// Writes down what a watch tells: "KEY=VALUE", "KEY gone", and "now: KEY=VALUE KEY=VALUE" for a
// resync. Its handlers may outlive it. Thread-safe.
class WatchLog {
 public:
  struct Entry {
    std::string text;
    uint64_t revision = 0;
  };

  WatchHandler handler() const {
    return {[state = state_](const std::vector<WatchEvent>& events) {
              for (const WatchEvent& event : events) {
                Add(*state, {event.value ? event.key + "=" + *event.value : event.key + " gone",
                             event.revision});
              }
            },
            [state = state_](const std::vector<KeyValue>& records, uint64_t revision) {
              Entry entry{"now:", revision};
              for (const KeyValue& record : records) {
                entry.text += " " + record.key + "=" + record.value;
              }
              Add(*state, std::move(entry));
            }};
  }
  // All entries, once there are so many; what there is, where the time is over first.
  std::vector<Entry> Wait(size_t count,
                          std::chrono::seconds patience = std::chrono::seconds(30)) const {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    MutexLock lock(state_->mutex);
    while (state_->entries.size() < count && state_->added.WaitUntil(state_->mutex, deadline)) {
    }
    auto entries = state_->entries;
    entries.resize(std::max(count, entries.size()), {"nothing came", 0});
    return entries;
  }
  std::vector<std::string> Texts() const {
    std::vector<std::string> texts;
    MutexLock lock(state_->mutex);
    for (const Entry& entry : state_->entries) {
      texts.push_back(entry.text);
    }
    return texts;
  }

 private:
  struct State {
    Mutex mutex;
    CondVar added;
    std::vector<Entry> entries GUARDED_BY(mutex);
  };
  static void Add(State& state, Entry entry) {
    MutexLock lock(state.mutex);
    state.entries.push_back(std::move(entry));
    state.added.NotifyAll();
  }

  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace vswap
