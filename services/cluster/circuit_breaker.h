#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "services/cluster/node.h"
#include "services/common/executor.h"
#include "services/common/mutex.h"

namespace vswap {

// What became of calls to a node behind a CircuitBreaker. Thread-safe.
struct CircuitCounters {
  std::atomic<bool> open{false};
  std::atomic<uint64_t> refused_open{0};      // calls: the circuit was open
  std::atomic<uint64_t> refused_too_many{0};  // calls: too many of the lane waited
};

// In front of a node in another process: bounds what is asked of it at once, and stops asking where
// it does not answer, so that a node that is slow or gone holds up neither memory nor those who
// have other nodes to ask.
//
// Cap: no more than `calls_max` calls are under way; those that come meanwhile wait, the more
// urgent lanes first (see Lane; deletes and inventories are background) but for one turn in eight,
// at most `waiting_max` of each lane, and then are refused: RESOURCE_EXHAUSTED.
// Breaker: open after `failures_max` calls in a row that failed as UNAVAILABLE or
// DEADLINE_EXCEEDED. While it is open, calls are refused, those that wait too, but for one each
// `probe` that finds out; any answer closes it. Statistics always pass, uncapped.
// Refused: UNAVAILABLE. That it opens and closes is logged; refusals are counted.
//
// Thread-safe. May be destroyed while calls are under way, but not from within an answer: those
// that wait are then dropped unanswered, as an executor's tasks are, and one that is being sent is
// waited for. After that neither `node` nor `clock` is touched; until then they outlive it. Bad at
// nodes that answer within the call: what waits then is sent from within the answer.
class CircuitBreaker : public Node {
 public:
  struct Options {
    std::string name = "";  // the node's, for the log
    size_t calls_max = 64;
    size_t waiting_max = 1024;
    int failures_max = 8;
    Duration probe = std::chrono::milliseconds(100);
  };

  CircuitBreaker(Node& node, const Options& options, const Clock& clock);
  ~CircuitBreaker() override;
  CircuitBreaker(const CircuitBreaker&) = delete;
  CircuitBreaker& operator=(const CircuitBreaker&) = delete;

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override;
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override;
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override;
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override;
  void Verify(std::vector<PageName> names, Callback<VerifyReply> done) override;
  void Statistics(Callback<NodeStatistics> done) override;

  bool open() const { return state_->counters.open; }
  // Live as long as it.
  const CircuitCounters& counters() const { return state_->counters; }

 private:
  struct Call {
    std::function<void()> send;
    std::function<void(const Status&)> refuse;
  };
  // Outlives the breaker as long as calls are under way.
  struct State {
    State(Node& its_node, const Options& of_breaker, const Clock& its_clock)
        : node(its_node), options(of_breaker), clock(its_clock) {}

    bool IsOpen() const REQUIRES(mutex) { return failures >= options.failures_max; }
    // Sends the call, lets it wait, or refuses it.
    void Admit(Lane lane, Call call);
    // Of a call that was sent.
    void OnAnswer(const Status& status);
    // Of one that passed uncapped.
    void OnStatistics(const Status& status);
    // Whether the circuit has opened, or closed; nothing where it stays as it was.
    std::optional<bool> Judge(const Status& status) REQUIRES(mutex);
    void Log(std::optional<bool> opened) const;
    // One of those that wait, which counts as under way and as being sent now; null: none waits.
    std::function<void()> TakeNext() REQUIRES(mutex);
    // Nothing is sent, and nothing judged, any more.
    void Close();

    Node& node;  // not after Close, as is the clock
    const Options options;
    const Clock& clock;
    CircuitCounters counters;
    mutable Mutex mutex;
    bool closed GUARDED_BY(mutex) = false;
    size_t sending GUARDED_BY(mutex) = 0;  // that had waited, and are handed to the node now
    CondVar sent;                          // when that is 0 again
    size_t under_way GUARDED_BY(mutex) = 0;
    std::map<Lane, std::deque<Call>> waiting
        GUARDED_BY(mutex);                 // the most urgent first; no empty line
    uint64_t turns GUARDED_BY(mutex) = 0;  // of those that waited
    int failures GUARDED_BY(mutex) = 0;    // in a row
    TimePoint probed GUARDED_BY(mutex);    // while it is open: when a call was let through
  };

  template <typename T>
  void Submit(Lane lane, std::function<void(Node&, Callback<T>)> send, Callback<T> done);

  const std::shared_ptr<State> state_;
};

}  // namespace vswap
