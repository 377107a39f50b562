#include "tests/sim/sim_network.h"

namespace vswap {

SeededRandom& SimNetwork::RandomOf(const SimProcess& from, const SimProcess& to) {
  const Pair direction(from.id(), to.id());
  const uint64_t seed = Mix64(Mix64(seed_ + from.id()) + to.id());
  return randoms_.try_emplace(direction, seed).first->second;
}

bool SimNetwork::Chance(const SimProcess& from, const SimProcess& to, uint64_t permille) {
  return RandomOf(from, to).Below(1000) < permille;
}

Duration SimNetwork::Below(const SimProcess& from, const SimProcess& to, Duration bound) {
  return Duration(1 + RandomOf(from, to).Below(static_cast<uint64_t>(bound.count())));
}

Duration SimNetwork::DelayOf(const SimProcess& from, const SimProcess& to) {
  const Duration delay = Below(from, to, faults_.delay_max) + to.slowness();
  return Chance(from, to, faults_.late_permille)
             ? delay + faults_.delay_max + Below(from, to, faults_.late_max)
             : delay;
}

void SimNetwork::Send(const char* event, const char* what, const SimProcess& from,
                      const SimProcess& to, std::function<void()> arrive) {
  if (!Passes(from, to)) {
    return Note("cut off", what, from, to);
  }
  if (Chance(from, to, faults_.lost_permille)) {
    return Note("lost", what, from, to);
  }
  const Duration delay = DelayOf(from, to);
  if (delay > faults_.delay_max + to.slowness()) {
    Note("late", what, from, to);
  }
  world_.PostAfter(delay, [this, event, what, &from, &to, arrive = std::move(arrive)] {
    Note(event, what, from, to);
    arrive();
  });
}

void SimNetwork::Note(const char* event, const char* what, const SimProcess& from,
                      const SimProcess& to) {
  Note(event, std::string(what) + ": " + from.name() + " -> " + to.name());
}

void SimNetwork::Note(const char* event, const std::string& what) {
  ++counts_[event];
  trace_ = Mix64(trace_ + static_cast<uint64_t>(world_.Now().time_since_epoch().count()));
  trace_ = Mix64(trace_ + std::hash<std::string>()(event + what));
  if (log) {
    log(std::string(event) + (what.empty() ? "" : " " + what));
  }
}

}  // namespace vswap
