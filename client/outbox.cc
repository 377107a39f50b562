#include "client/outbox.h"

#include <algorithm>

namespace vswap::client {

void Outbox::Wait(Request& request) {
  Request* place = waiting_.Last();
  while (place != nullptr && place->sequence > request.sequence) {
    place = waiting_.Before(*place);
  }
  waiting_.InsertAfter(place, request);
}

void Outbox::Add(Request& request, TimePoint now) {
  request.deadline = now + request.patience;
  Wait(request);
}

Request* Outbox::TakeNext(TimePoint now) {
  if (in_flight_.size() >= limits_.requests_max) {
    return nullptr;
  }
  Request* next = waiting_.First();
  while (next != nullptr && next->not_before > now) {
    next = waiting_.After(*next);
  }
  if (next == nullptr ||
      (!in_flight_.empty() && in_flight_bytes_ + next->page_bytes > limits_.bytes_max)) {
    return nullptr;
  }
  if (in_flight_.empty()) {
    last_answer_ = std::max(last_answer_, now);  // the silence begins now
  }
  if (!next->was_sent) {
    next->was_sent = true;
    next->deadline = now + next->patience;
  }
  next->sent_at = now;
  waiting_.Remove(*next);
  in_flight_.PushBack(*next);
  in_flight_bytes_ += next->page_bytes;
  return next;
}

Request* Outbox::Find(Sequence sequence) const {
  Request* request = in_flight_.First();
  while (request != nullptr && request->sequence != sequence) {
    request = in_flight_.After(*request);
  }
  return request;
}

void Outbox::Remove(Request& request) {
  in_flight_.Remove(request);
  in_flight_bytes_ -= request.page_bytes;
}

void Outbox::PutBack(Request& request, TimePoint now) {
  Remove(request);
  request.backoff = std::clamp(request.backoff * 2, limits_.backoff_min, limits_.backoff_max);
  request.not_before = now + request.backoff;
  Wait(request);
}

void Outbox::PutAllBack() {
  while (Request* request = in_flight_.PopFront()) {
    Wait(*request);
  }
  in_flight_bytes_ = 0;
}

bool Outbox::Silent(TimePoint now) const {
  if (in_flight_.empty()) {
    return false;
  }
  // The oldest sending is the first.
  return now - last_answer_ > limits_.silence_max ||
         now - in_flight_.First()->sent_at > limits_.answer_max;
}

bool Outbox::Expired(const Request& request, TimePoint now) const {
  // What was never sent waits for others: its time only counts while nothing gets an answer.
  return now > request.deadline && (request.was_sent || now - last_answer_ > request.patience);
}

void Outbox::TakeExpired(TimePoint now, Requests& out) {
  TakeIf([this, now](const Request& request) { return Expired(request, now); }, out);
}

void Outbox::TakeAll(Requests& out) {
  PutAllBack();
  while (Request* request = waiting_.PopFront()) {
    out.PushBack(*request);
  }
}

}  // namespace vswap::client
