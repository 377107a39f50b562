#pragma once

#include <deque>
#include <functional>

#include "services/cluster/node.h"
#include "services/common/mutex.h"

namespace vswap {

// A node in front of another one that keeps calls back until it is told to let them go: for tests
// that need one call to be under way while another happens. Thread-safe.
class HeldNode : public Node {
 public:
  enum Kind : unsigned { kPut = 1, kGet = 2, kDelete = 4, kInventory = 8, kVerify = 16 };

  explicit HeldNode(Node& node) : node_(node) {}

  // Calls of these kinds are kept from now on.
  void Hold(unsigned kinds) {
    MutexLock lock(mutex_);
    kinds_ = kinds;
  }
  // Nothing is kept any more, and what was kept is done, in order.
  void LetGo() {
    std::deque<std::function<void()>> calls;
    {
      MutexLock lock(mutex_);
      kinds_ = 0;
      calls.swap(calls_);
    }
    for (const auto& call : calls) {
      call();
    }
  }
  // Nothing is kept any more, and what was kept never happens.
  void Drop() {
    std::deque<std::function<void()>> calls;
    MutexLock lock(mutex_);
    kinds_ = 0;
    calls.swap(calls_);
  }
  size_t held() {
    MutexLock lock(mutex_);
    return calls_.size();
  }

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override {
    Pass(kPut, [this, pages = std::move(pages), lane, done = std::move(done)] {
      node_.Put(pages, lane, done);
    });
  }
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override {
    Pass(kGet, [this, names = std::move(names), lane, done = std::move(done)] {
      node_.Get(names, lane, done);
    });
  }
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override {
    Pass(kDelete,
         [this, names = std::move(names), done = std::move(done)] { node_.Delete(names, done); });
  }
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override {
    Pass(kInventory, [this, cursor = std::move(cursor), limit, done = std::move(done)] {
      node_.Inventory(cursor, limit, done);
    });
  }
  void Verify(std::vector<PageName> names, Callback<VerifyReply> done) override {
    Pass(kVerify,
         [this, names = std::move(names), done = std::move(done)] { node_.Verify(names, done); });
  }
  void Statistics(Callback<NodeStatistics> done) override { node_.Statistics(std::move(done)); }

 private:
  void Pass(Kind kind, std::function<void()> call) {
    {
      MutexLock lock(mutex_);
      if ((kinds_ & kind) != 0) {
        calls_.push_back(std::move(call));
        return;
      }
    }
    call();
  }

  Node& node_;
  Mutex mutex_;
  unsigned kinds_ GUARDED_BY(mutex_) = 0;
  std::deque<std::function<void()>> calls_ GUARDED_BY(mutex_);
};

}  // namespace vswap
