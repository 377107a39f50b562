#pragma once

#include "client/request.h"

namespace vswap::client {

// The requests of one stream: those that wait to be sent and those that wait for their answer.
// Decides what goes out next (lowest sequence first, within the bounds), what is repeated after a
// break, and what is given up.
//
// Invariant: each request is in exactly one of the two until it is taken out. Externally
// synchronised.
class Outbox {
 public:
  using Requests = IntrusiveList<Request, InQueue>;

  struct Limits {
    size_t requests_max = 64;             // as the server's: over that it does not read on
    size_t bytes_max = 16 * 1024 * 1024;  // of page contents in flight
    Duration silence_max =
        std::chrono::seconds(10);  // with something in flight and no answer at all
    Duration answer_max = std::chrono::seconds(30);  // of one request
    Duration backoff_min = std::chrono::milliseconds(5);
    Duration backoff_max = std::chrono::milliseconds(500);
  };

  explicit Outbox(const Limits& limits) : limits_(limits) {}

  void Add(Request& request, TimePoint now);
  // Moves the next request that is due into flight; null if there is none or the bounds are
  // reached.
  Request* TakeNext(TimePoint now);
  // The request in flight that this answers, or null. It stays where it is.
  Request* Find(Sequence sequence) const;
  // Takes an answered request out.
  void Remove(Request& request);
  // An answer came, for whichever request.
  void NoteAnswer(TimePoint now) { last_answer_ = now; }
  // The request goes out again, later.
  void PutBack(Request& request, TimePoint now);
  // The stream is gone: everything in flight goes out again.
  void PutAllBack();
  // Takes out those for which `wanted` is true, also what is in flight; added to the end of `out`.
  template <typename Wanted>
  void TakeIf(const Wanted& wanted, Requests& out) {
    for (Requests* requests : {&waiting_, &in_flight_}) {
      for (Request* request = requests->First(); request != nullptr;) {
        Request* const next = requests->After(*request);
        if (wanted(*request)) {
          if (requests == &in_flight_) {
            Remove(*request);
          } else {
            waiting_.Remove(*request);
          }
          out.PushBack(*request);
        }
        request = next;
      }
    }
  }
  // One that another outbox had: its time runs on.
  void TakeOver(Request& request) { Wait(request); }
  // Whether an answer has been missing for so long.
  bool QuietFor(Duration time, TimePoint now) const {
    return !in_flight_.empty() && now - last_answer_ > time;
  }
  // Whether the stream must be taken for dead.
  bool Silent(TimePoint now) const;

  // Takes out what has run out of patience, or everything; added to the end of `out`.
  void TakeExpired(TimePoint now, Requests& out);
  void TakeAll(Requests& out);

  bool empty() const { return waiting_.empty() && in_flight_.empty(); }
  bool has_waiting() const { return !waiting_.empty(); }
  size_t in_flight_bytes() const { return in_flight_bytes_; }

 private:
  // To its place in waiting_. From the end: most come in order.
  void Wait(Request& request);
  bool Expired(const Request& request, TimePoint now) const;

  const Limits limits_;
  Requests waiting_;    // by sequence
  Requests in_flight_;  // as they were sent; at most requests_max
  size_t in_flight_bytes_ = 0;
  TimePoint last_answer_{};
};

}  // namespace vswap::client
