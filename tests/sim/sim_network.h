#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "services/cluster/node.h"
#include "services/common/thread_pool.h"
#include "tests/sim/sim_process.h"

namespace vswap {

// Carries calls between processes, badly: late, in any order, twice, or not at all. A call that is
// not answered in time fails with UNAVAILABLE, whatever became of it; its effect may come later.
//
// Each direction between two processes draws from a sequence of its own, so that what happens on
// one does not depend on the others. Everything that happens goes into trace(): equal seeds give
// equal traces. Thread-confined; time is the world's.
class SimNetwork {
 public:
  struct Faults {
    uint64_t lost_permille = 0;   // of requests, and of answers
    uint64_t twice_permille = 0;  // of requests: a copy arrives some time later
    uint64_t late_permille = 0;   // of all messages: late by up to late_max
    Duration delay_max = std::chrono::microseconds(200);
    Duration late_max = std::chrono::milliseconds(400);
  };
  static constexpr Duration kTimeout = std::chrono::milliseconds(250);

  SimNetwork(ManualExecutor& world, uint64_t seed) : world_(world), seed_(seed) {}

  void SetFaults(const Faults& faults) { faults_ = faults; }
  // Nothing passes between the two until it is mended.
  void Cut(const SimProcess& a, const SimProcess& b) { cut_.insert(PairOf(a, b)); }
  void Mend(const SimProcess& a, const SimProcess& b) { cut_.erase(PairOf(a, b)); }
  void MendAll() { cut_.clear(); }

  // `effect` runs in `to`, once a copy that arrives; `again` in its place for later copies.
  template <typename T>
  void Call(const char* what, SimProcess& from, SimProcess& to,
            std::function<void(Callback<T>)> effect, Callback<T> done,
            std::function<void(Callback<T>)> again = nullptr) {
    const auto line = std::make_shared<Callback<T>>(std::move(done));
    const uint64_t hang_up = from.OnKill([line] { std::exchange(*line, nullptr); });
    const std::function<void(StatusOr<T>)> hear = [&from, line, hang_up](StatusOr<T> answer) {
      if (const Callback<T> heard = std::exchange(*line, nullptr)) {
        from.Forget(hang_up);
        heard(std::move(answer));
      }
    };
    world_.PostAfter(kTimeout, [this, what, &from, &to, line, hear] {
      from.Deliver([this, what, &from, &to, line, hear] {
        if (*line) {
          Note("timeout", what, from, to);
          hear(MakeError(StatusCode::kUnavailable, "no answer in time"));
        }
      });
    });
    const auto answer = [this, what, &from, &to, hear](StatusOr<T> reply) {
      Send("answer", what, to, from, [&from, hear, reply = std::move(reply)] {
        from.Deliver([hear, reply] { hear(reply); });
      });
    };
    const bool twice = Chance(from, to, faults_.twice_permille);
    Send("request", what, from, to, [this, &to, effect, answer] { Arrive<T>(to, effect, answer); });
    if (twice) {
      Note("twice", what, from, to);
      const Duration later = Below(from, to, faults_.late_max);
      world_.PostAfter(later + to.slowness(), [this, &to, effect, again] {
        Arrive<T>(to, again ? again : effect, [](const StatusOr<T>&) {});
      });
    }
  }

  // For streams, which lose nothing while they last: whether anything passes now, and how long it
  // takes.
  bool Passes(const SimProcess& from, const SimProcess& to) const {
    return !cut_.contains(PairOf(from, to));
  }
  Duration DelayOf(const SimProcess& from, const SimProcess& to);

  // For what else happens in the world.
  void Note(const char* event, const std::string& what);
  // For the log only.
  void Detail(const std::function<std::string()>& text) const {
    if (log) {
      log("  " + text());
    }
  }
  // Of everything so far.
  uint64_t trace() const { return trace_; }
  // How often what happened.
  const std::map<std::string, uint64_t>& counts() const { return counts_; }
  // Told of everything, a line each.
  std::function<void(const std::string&)> log;

 private:
  using Pair = std::pair<uint64_t, uint64_t>;
  static Pair PairOf(const SimProcess& a, const SimProcess& b) {
    return std::minmax(a.id(), b.id());
  }

  template <typename T>
  void Arrive(SimProcess& to, const std::function<void(Callback<T>)>& effect,
              const Callback<T>& answer) {
    if (to.reachable()) {
      to.Deliver([effect, answer] { effect(answer); });
    } else {
      answer(MakeError(StatusCode::kUnavailable, "the process is not there"));
    }
  }
  // One message, which may be lost or late.
  void Send(const char* event, const char* what, const SimProcess& from, const SimProcess& to,
            std::function<void()> arrive);
  SeededRandom& RandomOf(const SimProcess& from, const SimProcess& to);
  bool Chance(const SimProcess& from, const SimProcess& to, uint64_t permille);
  Duration Below(const SimProcess& from, const SimProcess& to, Duration bound);
  void Note(const char* event, const char* what, const SimProcess& from, const SimProcess& to);

  ManualExecutor& world_;
  const uint64_t seed_;
  Faults faults_;
  std::set<Pair> cut_;
  std::map<Pair, SeededRandom> randoms_;
  uint64_t trace_ = 0;
  std::map<std::string, uint64_t> counts_;
};

}  // namespace vswap
