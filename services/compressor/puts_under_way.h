#pragma once

#include <atomic>
#include <memory>
#include <unordered_map>
#include <vector>

#include "services/common/ids.h"
#include "services/common/mutex.h"

namespace vswap {

// Names that puts are about to keep, so that a delete that overtakes a put in the executor's queue
// still takes its page: the put then keeps nothing. Nobody waits for anybody.
//
// Thread-safe. Outlives the batches.
class PutsUnderWay {
 public:
  class Batch;
  // The names are under way until the batch goes.
  std::shared_ptr<Batch> Begin(std::vector<PageName> names);
  // Marks the names in all batches that began before.
  void Withdraw(const std::vector<PageName>& names);

 private:
  struct Mark {
    const Batch* batch = nullptr;
    std::atomic<bool>* withdrawn = nullptr;
  };

  Mutex mutex_;
  std::unordered_multimap<PageName, Mark, PageNameHash> marks_ GUARDED_BY(mutex_);
};

class PutsUnderWay::Batch {
 public:
  Batch(PutsUnderWay& owner, std::vector<PageName> names)
      : owner_(owner), names_(std::move(names)), withdrawn_(names_.size()) {}
  ~Batch();
  const std::atomic<bool>& withdrawn(size_t i) const { return withdrawn_[i]; }

 private:
  friend class PutsUnderWay;
  PutsUnderWay& owner_;
  const std::vector<PageName> names_;
  std::vector<std::atomic<bool>> withdrawn_;
};

inline std::shared_ptr<PutsUnderWay::Batch> PutsUnderWay::Begin(std::vector<PageName> names) {
  auto batch = std::make_shared<Batch>(*this, std::move(names));
  MutexLock lock(mutex_);
  for (size_t i = 0; i < batch->names_.size(); ++i) {
    marks_.emplace(batch->names_[i], Mark{batch.get(), &batch->withdrawn_[i]});
  }
  return batch;
}

inline void PutsUnderWay::Withdraw(const std::vector<PageName>& names) {
  MutexLock lock(mutex_);
  if (marks_.empty()) {
    return;
  }
  for (const PageName& name : names) {
    const auto [begin, end] = marks_.equal_range(name);
    for (auto it = begin; it != end; ++it) {
      it->second.withdrawn->store(true);
    }
  }
}

inline PutsUnderWay::Batch::~Batch() {
  MutexLock lock(owner_.mutex_);
  for (const PageName& name : names_) {
    const auto [begin, end] = owner_.marks_.equal_range(name);
    for (auto it = begin; it != end; ++it) {
      if (it->second.batch == this) {
        owner_.marks_.erase(it);
        break;
      }
    }
  }
}

}  // namespace vswap
