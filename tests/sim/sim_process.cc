#include "tests/sim/sim_process.h"

namespace vswap {
namespace {

// How much later than asked for a task may run; also what puts tasks into another order.
constexpr uint64_t kLateNanosMax = 30000;

}  // namespace

void SimProcess::PostAfter(Duration delay, Task task) {
  if (!alive_) {
    return;
  }
  const uint64_t id = next_++;
  tasks_[id] = std::move(task);
  const Duration late(1 + random_.Below(kLateNanosMax));
  world_.PostAfter(delay + late, [this, id] { Run(id); });
}

void SimProcess::Run(uint64_t id) {
  const auto it = tasks_.find(id);
  if (it == tasks_.end()) {
    return;
  }
  Task task = std::move(it->second);
  tasks_.erase(it);
  Deliver(std::move(task));
}

void SimProcess::Deliver(Task task) {
  if (!alive_) {
    return;
  }
  if (stopped_) {
    held_.push_back(std::move(task));
  } else {
    task();
  }
}

uint64_t SimProcess::OnKill(Task hang_up) {
  const uint64_t id = next_++;
  hang_ups_[id] = std::move(hang_up);
  return id;
}

void SimProcess::Continue() {
  stopped_ = false;
  for (Task& task : std::exchange(held_, {})) {
    PostAfter(Duration(0), std::move(task));
  }
}

void SimProcess::Kill() {
  alive_ = false;
  // What is dropped may drop more.
  while (!tasks_.empty() || !held_.empty() || !hang_ups_.empty()) {
    std::exchange(tasks_, {}).clear();
    std::exchange(held_, {}).clear();
    for (const auto& [id, hang_up] : std::exchange(hang_ups_, {})) {
      hang_up();
    }
  }
}

}  // namespace vswap
