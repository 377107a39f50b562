#include "client/outbox.h"

#include <algorithm>
#include <utility>

namespace vswap::client {

void Outbox::Add(RequestPtr request, TimePoint now) {
  request->deadline = now + request->patience;
  const Sequence sequence = request->sequence;
  waiting_.emplace(sequence, std::move(request));
}

RequestPtr Outbox::TakeNext(TimePoint now) {
  if (in_flight_.size() >= limits_.requests_max) {
    return nullptr;
  }
  const auto next = std::ranges::find_if(
      waiting_, [now](const auto& entry) { return entry.second->not_before <= now; });
  if (next == waiting_.end()) {
    return nullptr;
  }
  const RequestPtr request = next->second;
  if (!in_flight_.empty() && in_flight_bytes_ + request->bytes > limits_.bytes_max) {
    return nullptr;
  }
  if (in_flight_.empty()) {
    last_answer_ = std::max(last_answer_, now);  // the silence begins now
  }
  if (!request->was_sent) {
    request->was_sent = true;
    request->deadline = now + request->patience;
  }
  request->sent_at = now;
  in_flight_.insert(waiting_.extract(next));
  in_flight_bytes_ += request->bytes;
  return request;
}

RequestPtr Outbox::Find(Sequence sequence) const {
  const auto it = in_flight_.find(sequence);
  return it == in_flight_.end() ? nullptr : it->second;
}

void Outbox::Remove(const RequestPtr& request) {
  if (in_flight_.erase(request->sequence) == 1) {
    in_flight_bytes_ -= request->bytes;
  }
}

void Outbox::PutBack(const RequestPtr& request, TimePoint now) {
  Remove(request);
  request->backoff = std::clamp(request->backoff * 2, limits_.backoff_min, limits_.backoff_max);
  request->not_before = now + request->backoff;
  waiting_.emplace(request->sequence, request);
}

void Outbox::PutAllBack() {
  waiting_.merge(in_flight_);
  in_flight_bytes_ = 0;
}

bool Outbox::Silent(TimePoint now) const {
  if (in_flight_.empty()) {
    return false;
  }
  return now - last_answer_ > limits_.silence_max ||
         std::ranges::any_of(in_flight_, [&](const auto& entry) {
           return now - entry.second->sent_at > limits_.answer_max;
         });
}

bool Outbox::Expired(const Request& request, TimePoint now) const {
  // What was never sent waits for others: its time only counts while nothing gets an answer.
  return now > request.deadline && (request.was_sent || now - last_answer_ > request.patience);
}

std::vector<RequestPtr> Outbox::TakeExpired(TimePoint now) {
  std::vector<RequestPtr> expired;
  for (Requests* requests : {&waiting_, &in_flight_}) {
    for (const auto& [sequence, request] : *requests) {
      if (Expired(*request, now)) {
        expired.push_back(request);
      }
    }
  }
  for (const RequestPtr& request : expired) {
    waiting_.erase(request->sequence);
    Remove(request);
  }
  return expired;
}

std::vector<RequestPtr> Outbox::TakeAll() {
  PutAllBack();
  std::vector<RequestPtr> all;
  for (auto& [sequence, request] : waiting_) {
    all.push_back(std::move(request));
  }
  waiting_.clear();
  return all;
}

}  // namespace vswap::client
