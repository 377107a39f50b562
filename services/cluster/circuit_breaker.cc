#include "services/cluster/circuit_breaker.h"

#include <spdlog/spdlog.h>

#include <iterator>
#include <optional>
#include <utility>

#include "services/common/silence.h"

namespace vswap {
namespace {

// One turn in so many is the least urgent lane's: it waits long, but not for ever.
constexpr uint64_t kLeastUrgentTurns = 8;

Status OpenRefusal() {
  return MakeError(StatusCode::kUnavailable, "the node does not answer: its circuit is open");
}

}  // namespace

CircuitBreaker::CircuitBreaker(Node& node, const Options& options, const Clock& clock)
    : state_(std::make_shared<State>(node, options, clock)) {}

CircuitBreaker::~CircuitBreaker() { state_->Close(); }

void CircuitBreaker::State::Close() {
  std::map<Lane, std::deque<Call>> dropped;  // without the lock
  MutexLock lock(mutex);
  closed = true;
  waiting.swap(dropped);
  while (sending != 0) {
    sent.Wait(mutex);
  }
}

void CircuitBreaker::State::Admit(Lane lane, Call call) {
  Status refusal;
  {
    MutexLock lock(mutex);
    const bool has_place = under_way < options.calls_max;
    if (IsOpen() && (!has_place || clock.Now() - probed < options.probe)) {
      refusal = OpenRefusal();
      ++counters.refused_open;
    } else if (has_place) {
      ++under_way;
      probed = clock.Now();
    } else if (std::deque<Call>& line = waiting[lane]; line.size() < options.waiting_max) {
      line.push_back(std::move(call));
      return;
    } else {
      refusal = MakeError(StatusCode::kResourceExhausted, "too many calls wait for the node");
      ++counters.refused_too_many;
    }
  }
  refusal.ok() ? call.send() : call.refuse(refusal);
}

void CircuitBreaker::State::OnAnswer(const Status& status) {
  std::map<Lane, std::deque<Call>> refused;
  std::function<void()> next;
  std::optional<bool> opened;
  {
    MutexLock lock(mutex);
    --under_way;
    if (closed) {
      return;
    }
    opened = Judge(status);
    if (IsOpen()) {
      refused.swap(waiting);
    } else {
      next = TakeNext();
    }
  }
  Log(opened);
  if (next != nullptr) {
    next();
    MutexLock lock(mutex);
    if (--sending == 0) {
      sent.NotifyAll();
    }
  }
  for (const auto& [lane, calls] : refused) {
    counters.refused_open += calls.size();
    for (const Call& call : calls) {
      call.refuse(OpenRefusal());
    }
  }
}

void CircuitBreaker::State::OnStatistics(const Status& status) {
  std::optional<bool> opened;
  {
    MutexLock lock(mutex);
    opened = closed ? std::nullopt : Judge(status);
  }
  Log(opened);
}

std::optional<bool> CircuitBreaker::State::Judge(const Status& status) {
  if (!IsSilence(status)) {
    failures = 0;
  } else if (!IsOpen()) {
    ++failures;
    probed = clock.Now();
  }
  const bool open = IsOpen();
  return counters.open.exchange(open) != open ? std::optional(open) : std::nullopt;
}

void CircuitBreaker::State::Log(std::optional<bool> opened) const {
  if (!opened) {
    return;
  }
  if (*opened) {
    spdlog::warn("node {} does not answer: its circuit is open", options.name);
  } else {
    spdlog::info("node {} answers again: its circuit is closed", options.name);
  }
}

std::function<void()> CircuitBreaker::State::TakeNext() {
  if (waiting.empty()) {
    return nullptr;
  }
  const auto lane = ++turns % kLeastUrgentTurns == 0 ? std::prev(waiting.end()) : waiting.begin();
  std::function<void()> send = std::move(lane->second.front().send);
  lane->second.pop_front();
  if (lane->second.empty()) {
    waiting.erase(lane);
  }
  ++under_way;
  ++sending;
  return send;
}

template <typename T>
void CircuitBreaker::Submit(Lane lane, std::function<void(Node&, Callback<T>)> send,
                            Callback<T> done) {
  Callback<T> answered = [state = state_, done](StatusOr<T> answer) {
    state->OnAnswer(answer.status());
    done(std::move(answer));
  };
  state_->Admit(lane,
                {.send = [&node = state_->node, send = std::move(send),
                          answered = std::move(answered)] { send(node, answered); },
                 .refuse = [done = std::move(done)](const Status& refusal) { done(refusal); }});
}

void CircuitBreaker::Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) {
  Submit<PutReply>(
      lane,
      [pages = std::move(pages), lane](Node& node, Callback<PutReply> answered) mutable {
        node.Put(std::move(pages), lane, std::move(answered));
      },
      std::move(done));
}

void CircuitBreaker::Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) {
  Submit<GetReply>(
      lane,
      [names = std::move(names), lane](Node& node, Callback<GetReply> answered) mutable {
        node.Get(std::move(names), lane, std::move(answered));
      },
      std::move(done));
}

void CircuitBreaker::Delete(std::vector<PageName> names, Callback<Incarnation> done) {
  Submit<Incarnation>(
      Lane::kBackground,
      [names = std::move(names)](Node& node, Callback<Incarnation> answered) mutable {
        node.Delete(std::move(names), std::move(answered));
      },
      std::move(done));
}

void CircuitBreaker::Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) {
  Submit<InventoryReply>(
      Lane::kBackground,
      [cursor = std::move(cursor), limit](Node& node, Callback<InventoryReply> answered) mutable {
        node.Inventory(std::move(cursor), limit, std::move(answered));
      },
      std::move(done));
}

void CircuitBreaker::Verify(std::vector<PageName> names, Callback<VerifyReply> done) {
  Submit<VerifyReply>(
      Lane::kBackground,
      [names = std::move(names)](Node& node, Callback<VerifyReply> answered) mutable {
        node.Verify(std::move(names), std::move(answered));
      },
      std::move(done));
}

void CircuitBreaker::Statistics(Callback<NodeStatistics> done) {
  state_->node.Statistics(
      [state = state_, done = std::move(done)](StatusOr<NodeStatistics> answer) {
        state->OnStatistics(answer.status());
        done(std::move(answer));
      });
}

}  // namespace vswap
