#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <unordered_set>
#include <vector>

#include "services/common/executor.h"
#include "services/common/ids.h"
#include "services/common/mutex.h"

namespace vswap {

// Runs work on an executor so that no two pieces of work on one name are under way at once, which
// lets a put look before it writes. Work that finds a name taken waits aside and blocks no thread.
//
// Bad at: fairness among works that overlap in several names. Thread-safe; ends after its executor
// has stopped.
class ExclusiveNames {
 public:
  // What runs once the names are free again (to answer the caller, who may come back with the same
  // names).
  using Then = std::function<void()>;
  using Work = std::function<Then()>;

  explicit ExclusiveNames(Executor& executor) : executor_(executor) {}

  void Run(std::vector<PageName> names, Work work);

 private:
  struct Piece {
    std::vector<PageName> names;
    Work work;
  };
  using PiecePtr = std::shared_ptr<Piece>;

  void Start(const PiecePtr& piece);
  bool Claim(const Piece& piece) REQUIRES(mutex_);
  // Gives the names back; what can now start has claimed its own.
  std::vector<PiecePtr> Release(const Piece& piece);
  void Perform(const PiecePtr& piece);

  Executor& executor_;
  Mutex mutex_;
  std::unordered_set<PageName, PageNameHash> claimed_ GUARDED_BY(mutex_);
  std::deque<PiecePtr> waiting_ GUARDED_BY(mutex_);
};

}  // namespace vswap
