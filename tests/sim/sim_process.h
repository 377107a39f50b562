#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "services/common/thread_pool.h"

namespace vswap {

// One process of the simulated cluster, as the executor of what runs in it: its tasks run in any
// order that threads of a pool could bring about. It can be killed, so that nothing of it is heard
// again, or stopped and continued, or be out of reach for a while.
//
// Thread-confined. Outlives whatever was ever given to it: keep it until the world ends.
class SimProcess : public Executor {
 public:
  SimProcess(ManualExecutor& world, std::string name, uint64_t id, uint64_t seed)
      : world_(world), name_(std::move(name)), id_(id), random_(seed) {}
  ~SimProcess() override { Kill(); }

  void Post(Task task) override { PostAfter(Duration(0), std::move(task)); }
  void PostAfter(Duration delay, Task task) override;
  void Dispatch(Task task) override { Deliver(std::move(task)); }
  // Runs the task within the call; later where the process is stopped, never where it is dead.
  void Deliver(Task task);

  // `hang_up` runs when the process is killed, unless it is forgotten before.
  uint64_t OnKill(Task hang_up);
  void Forget(uint64_t hang_up) { hang_ups_.erase(hang_up); }

  // As kill -9. Not from a task of its own.
  void Kill();
  // As SIGSTOP and SIGCONT: meanwhile messages and timers wait.
  void Stop() { stopped_ = true; }
  void Continue();
  // Whether a message that comes now is taken.
  bool reachable() const { return alive_ && !down_; }
  void SetDown(bool down) { down_ = down; }
  // Every message to it takes so much longer: a slow disk.
  Duration slowness() const { return slowness_; }
  void SetSlowness(Duration slowness) { slowness_ = slowness; }

  bool alive() const { return alive_; }
  bool stopped() const { return stopped_; }
  uint64_t id() const { return id_; }
  const std::string& name() const { return name_; }
  ManualExecutor& world() const { return world_; }

 private:
  void Run(uint64_t task);

  ManualExecutor& world_;
  const std::string name_;
  const uint64_t id_;
  SeededRandom random_;
  bool alive_ = true;
  bool down_ = false;
  bool stopped_ = false;
  Duration slowness_{};
  uint64_t next_ = 0;
  std::map<uint64_t, Task> tasks_;  // waiting for their time
  std::deque<Task> held_;           // came while it was stopped
  std::map<uint64_t, Task> hang_ups_;
};

}  // namespace vswap
