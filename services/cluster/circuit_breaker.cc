#include "services/cluster/circuit_breaker.h"

#include <iterator>
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
    : node_(node), state_(std::make_shared<State>(options, clock)) {}

CircuitBreaker::~CircuitBreaker() {
  std::map<Lane, std::deque<Call>> dropped;  // without the lock
  MutexLock lock(state_->mutex);
  state_->waiting.swap(dropped);
}

void CircuitBreaker::State::Admit(Lane lane, Call call) {
  Status refusal;
  {
    MutexLock lock(mutex);
    const bool has_place = under_way < options.calls_max;
    if (IsOpen() && (!has_place || clock.Now() - probed < options.probe)) {
      refusal = OpenRefusal();
    } else if (has_place) {
      ++under_way;
      probed = clock.Now();
    } else if (std::deque<Call>& line = waiting[lane]; line.size() < options.waiting_max) {
      line.push_back(std::move(call));
      return;
    } else {
      refusal = MakeError(StatusCode::kResourceExhausted, "too many calls wait for the node");
    }
  }
  refusal.ok() ? call.send() : call.refuse(refusal);
}

void CircuitBreaker::State::OnAnswer(const Status& status) {
  std::map<Lane, std::deque<Call>> refused;
  std::function<void()> next;
  {
    MutexLock lock(mutex);
    --under_way;
    Judge(status);
    if (IsOpen()) {
      refused.swap(waiting);
    } else {
      next = TakeNext();
    }
  }
  if (next != nullptr) {
    next();
  }
  for (const auto& [lane, calls] : refused) {
    for (const Call& call : calls) {
      call.refuse(OpenRefusal());
    }
  }
}

void CircuitBreaker::State::Judge(const Status& status) {
  if (!IsSilence(status)) {
    failures = 0;
  } else if (!IsOpen()) {
    ++failures;
    probed = clock.Now();
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
  return send;
}

bool CircuitBreaker::open() const {
  MutexLock lock(state_->mutex);
  return state_->IsOpen();
}

template <typename T>
void CircuitBreaker::Submit(Lane lane, std::function<void(Callback<T>)> send, Callback<T> done) {
  Callback<T> answered = [state = state_, done](StatusOr<T> answer) {
    state->OnAnswer(answer.status());
    done(std::move(answer));
  };
  state_->Admit(
      lane, {.send = [send = std::move(send), answered = std::move(answered)] { send(answered); },
             .refuse = [done = std::move(done)](const Status& refusal) { done(refusal); }});
}

void CircuitBreaker::Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) {
  Submit<PutReply>(
      lane,
      [this, pages = std::move(pages), lane](Callback<PutReply> answered) mutable {
        node_.Put(std::move(pages), lane, std::move(answered));
      },
      std::move(done));
}

void CircuitBreaker::Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) {
  Submit<GetReply>(
      lane,
      [this, names = std::move(names), lane](Callback<GetReply> answered) mutable {
        node_.Get(std::move(names), lane, std::move(answered));
      },
      std::move(done));
}

void CircuitBreaker::Delete(std::vector<PageName> names, Callback<Incarnation> done) {
  Submit<Incarnation>(
      Lane::kBackground,
      [this, names = std::move(names)](Callback<Incarnation> answered) mutable {
        node_.Delete(std::move(names), std::move(answered));
      },
      std::move(done));
}

void CircuitBreaker::Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) {
  Submit<InventoryReply>(
      Lane::kBackground,
      [this, cursor = std::move(cursor), limit](Callback<InventoryReply> answered) mutable {
        node_.Inventory(std::move(cursor), limit, std::move(answered));
      },
      std::move(done));
}

void CircuitBreaker::Verify(std::vector<PageName> names, Callback<VerifyReply> done) {
  Submit<VerifyReply>(
      Lane::kBackground,
      [this, names = std::move(names)](Callback<VerifyReply> answered) mutable {
        node_.Verify(std::move(names), std::move(answered));
      },
      std::move(done));
}

void CircuitBreaker::Statistics(Callback<NodeStatistics> done) {
  node_.Statistics([state = state_, done = std::move(done)](StatusOr<NodeStatistics> answer) {
    {
      MutexLock lock(state->mutex);
      state->Judge(answer.status());
    }
    done(std::move(answer));
  });
}

}  // namespace vswap
