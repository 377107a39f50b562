#include "client/session.h"

#include <algorithm>
#include <string>
#include <utility>

#include "proto/grpc_glue.h"

namespace vswap::client {
namespace {

constexpr std::chrono::milliseconds kTickIdle(250);
constexpr std::chrono::milliseconds kTickBusy(5);

// Tells the owner, who may submit the request again within the call, or be gone after it.
void Refuse(Request& request, const Status& status) {
  Answer answer;
  answer.status = status;
  request.owner->OnAnswer(request, answer);
}

// Failures that may be over in a moment, and leave the request as if it had never been sent.
bool MayPass(const Request& request, const Status& status) {
  // An allocate's says that the shard has no room.
  return status.code() == StatusCode::kUnavailable ||
         (status.code() == StatusCode::kResourceExhausted &&
          request.kind != RequestKind::kAllocate);
}

}  // namespace

Session::Session(const ClientOptions& options, const Attachment& attachment, const Clock& clock,
                 const Outbox::Limits& limits)
    : options_(options),
      space_(attachment.space),
      token_(attachment.token),
      clock_(clock),
      epochs_(attachment.epochs),
      receive_room_(kMessageBytesMax),
      sides_{MakeSide(0, limits), MakeSide(1, limits)} {
  for (const auto& side : sides_) {
    side->link.Start();
  }
  thread_ = std::thread([this] { events_.Run(); });
}

Session::~Session() {
  events_.Post([this] {
    FailAll(MakeError(StatusCode::kCancelled, "the client is being destroyed"));
    for (const auto& side : sides_) {
      side->link.Stop();
    }
    events_.Stop();
  });
  thread_.join();
}

std::unique_ptr<Session::Side> Session::MakeSide(size_t index, const Outbox::Limits& limits) {
  Link::Handlers handlers;
  handlers.up = [this, index](std::shared_ptr<Stream> stream) {
    OnUp(*sides_[index], std::move(stream));
  };
  handlers.down = [this, index](Status why) { OnDown(*sides_[index], std::move(why)); };
  handlers.map = [this](const v1::ShardMap& map) { OnMap(map); };
  handlers.message = [this, index](const Stream* stream, grpc::ByteBuffer& message) {
    OnMessage(*sides_[index], stream, message);
  };
  handlers.written = [this, index] { Send(*sides_[index]); };
  // Only the second one carries pages out.
  const size_t send_bytes_max =
      kRequestHeadBytesMax + (index == 0 ? 0 : kBatchPagesMax * kPageBytes);
  return std::make_unique<Side>(limits, send_bytes_max, options_.frontend, clock_, events_,
                                std::move(handlers));
}

void Session::Submit(Request& request) {
  Status refusal;
  {
    MutexLock lock(mutex_);
    refusal = final_;
    if (refusal.ok() && !window_.Begin(request)) {
      stalled_.PushBack(request);
      return;
    }
  }
  if (refusal.ok()) {
    Enqueue(request);
  } else {
    Refuse(request, refusal);
  }
}

void Session::Enqueue(Request& request) {
  if (request.kind == RequestKind::kStore) {
    PrepareStore(space_, token_, request);
  }
  Side& side = SideOf(request);
  Status refusal;
  {
    MutexLock lock(mutex_);
    refusal = final_;
    if (refusal.ok()) {
      side.outbox.Add(request, clock_.Now());
    } else {
      window_.Finish(request);
    }
  }
  if (refusal.ok()) {
    Send(side);
  } else {
    Refuse(request, refusal);
  }
}

void Session::Send(Side& side) {
  // Whoever writes looks for more afterwards.
  if (Sending sending; NextSending(side, sending)) {
    Write(side, sending);
  }
}

bool Session::NextSending(Side& side, Sending& sending) {
  MutexLock lock(mutex_);
  if (!side.stream || !side.outbox.has_waiting() || !side.stream->TryBeginWrite()) {
    return false;
  }
  sending.buffer = side.buffers->TryTake();
  sending.request = sending.buffer == nullptr ? nullptr : side.outbox.TakeNext(clock_.Now());
  if (sending.request == nullptr) {
    if (sending.buffer != nullptr) {
      side.buffers->PutBack(*sending.buffer);
    }
    side.stream->EndWrite();
    return false;
  }
  ++sent_;
  resent_ += sending.request->sendings++ > 0;
  ++sending.request->being_written;
  sending.stream = side.stream;
  sending.header = {space_, token_, epochs_[sending.request->shard], window_.floor()};
  return true;
}

void Session::Write(Side& side, const Sending& sending) {
  const std::span<std::byte> bytes =
      WriteRequest(sending.header, *sending.request, sending.buffer->bytes);
  {
    MutexLock lock(mutex_);
    if (--sending.request->being_written == 0) {
      written_.NotifyAll();
    }
  }
  // From here on the request may be answered, and gone.
  sending.stream->Write(side.buffers->Lend(*sending.buffer, bytes));
}

void Session::OnUp(Side& side, std::shared_ptr<Stream> stream) {
  {
    MutexLock lock(mutex_);
    side.stream = std::move(stream);
  }
  Send(side);
}

void Session::OnDown(Side& side, Status why) {
  MutexLock lock(mutex_);
  side.stream = nullptr;
  side.last_failure = std::move(why);
  ++reconnects_;
  side.outbox.PutAllBack();
  events_.Hurry();
}

void Session::OnMap(const v1::ShardMap& map) {
  MutexLock lock(mutex_);
  if (map.epochs_size() != static_cast<int>(epochs_.size())) {
    return;  // not of this cluster; the requests' own refusals will say so
  }
  for (int i = 0; i < map.epochs_size(); ++i) {
    Epoch& seen = epochs_[static_cast<size_t>(i)];
    seen = std::max<Epoch>(seen, map.epochs(i));
  }
}

Session::Verdict Session::Judge(const Request& request, const Answer& answer) {
  if (answer.status.ok()) {
    Epoch& seen = epochs_[request.shard];
    if (answer.epoch < seen) {
      return Verdict::kAgain;
    }
    seen = answer.epoch;
    return Verdict::kDone;
  }
  switch (ReasonOf(answer.status)) {
    case ErrorReason::kFenced:
      return Verdict::kFenced;
    case ErrorReason::kStaleEpoch:
    case ErrorReason::kNotOwner:
      return Verdict::kAskForMap;
    default:
      return MayPass(request, answer.status) ? Verdict::kAgain : Verdict::kDone;
  }
}

void Session::OnMessage(Side& side, const Stream* stream, grpc::ByteBuffer& message) {
  {
    MutexLock lock(mutex_);
    if (side.stream.get() != stream) {
      return;  // late, of a stream that was given up
    }
  }
  Answer& answer = answer_;
  const StatusOr<ByteView> bytes = InOnePiece(message, receive_room_.bytes());
  const Status parsed = bytes.ok() ? ParseAnswer(*bytes, answer) : bytes.status();
  if (!parsed.ok() || (answer.id == 0 && !answer.status.ok())) {
    // One of the two ends does not understand the other: nothing on this stream can be relied on.
    return side.link.Replace(parsed.ok() ? answer.status : parsed);
  }
  side.link.NoteProgress();
  Request* request = nullptr;
  Verdict verdict = Verdict::kDone;
  {
    MutexLock lock(mutex_);
    request = side.stream.get() == stream ? side.outbox.Find(answer.id) : nullptr;
    if (request == nullptr) {
      return;  // late, of a stream or request that was given up
    }
    const TimePoint now = clock_.Now();
    side.outbox.NoteAnswer(now);
    verdict = Judge(*request, answer);
    if (verdict == Verdict::kDone) {
      side.outbox.Remove(*request);
      Retire(*request);
    } else {
      side.last_failure = answer.status;
      side.outbox.PutBack(*request, now);
      events_.Hurry();
    }
  }
  if (verdict == Verdict::kFenced) {
    FailAll(answer.status);
  } else if (verdict == Verdict::kAskForMap) {
    side.link.AskForMap();
  } else if (verdict == Verdict::kDone) {
    request->owner->OnAnswer(*request, answer);
    ResumeStalled();
  }
  Send(side);
  MutexLock lock(mutex_);
  if (side.outbox.has_waiting()) {
    events_.Hurry();  // what waits for a moment is not to wait for an idle tick
  }
}

void Session::ResumeStalled() {
  while (true) {
    Request* request = nullptr;
    {
      MutexLock lock(mutex_);
      request = stalled_.First();
      if (request == nullptr || !window_.Begin(*request)) {
        return;
      }
      stalled_.Remove(*request);
    }
    Enqueue(*request);
  }
}

void Session::Retire(Request& request) {
  window_.Finish(request);
  // A thread may still be making a message of it for a stream that is gone: a matter of
  // microseconds.
  while (request.being_written > 0) {
    written_.Wait(mutex_);
  }
}

void Session::Fail(Requests& requests, const Status& status) {
  while (Request* request = requests.PopFront()) {
    Refuse(*request, status);
  }
}

void Session::FailAll(const Status& why) {
  Requests failed;
  Status status;
  {
    MutexLock lock(mutex_);
    if (final_.ok()) {
      final_ = why;
    }
    status = final_;
    for (const auto& side : sides_) {
      side->outbox.TakeAll(failed);
    }
    for (Request* request = failed.First(); request != nullptr; request = failed.After(*request)) {
      Retire(*request);
    }
    while (Request* request = stalled_.PopFront()) {
      failed.PushBack(*request);
    }
  }
  Fail(failed, status);
}

void Session::Read(ClientStats& stats) {
  MutexLock lock(mutex_);
  stats.requests_sent = sent_;
  stats.requests_resent = resent_;
  stats.reconnects = reconnects_;
  stats.in_flight_bytes = 0;
  for (const auto& side : sides_) {
    stats.in_flight_bytes += side->outbox.in_flight_bytes();
  }
}

Status Session::PatienceOver(const Side& side) const {
  const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(options_.patience);
  std::string message = "space " + options_.space + ": no answer from frontend " +
                        options_.frontend + " within " + std::to_string(patience.count()) + " ms";
  if (!side.last_failure.ok()) {
    message += "; last failure: " + std::string(MessageOf(side.last_failure));
  }
  return MakeError(side.stream ? StatusCode::kDeadlineExceeded : StatusCode::kUnavailable, message);
}

bool Session::TickSide(Side& side) {
  side.link.Tick();
  Requests expired;
  Status over;
  bool silent = false;
  {
    MutexLock lock(mutex_);
    const TimePoint now = clock_.Now();
    side.outbox.TakeExpired(now, expired);
    for (Request* request = expired.First(); request != nullptr;
         request = expired.After(*request)) {
      Retire(*request);
    }
    if (!expired.empty()) {
      over = PatienceOver(side);
    }
    silent = side.stream && side.outbox.Silent(now);
  }
  if (silent) {
    side.link.Replace(MakeError(StatusCode::kDeadlineExceeded, "the connection went silent"));
  }
  if (!expired.empty()) {
    Fail(expired, over);
    ResumeStalled();
  }
  Send(side);
  MutexLock lock(mutex_);
  return !side.stream || side.outbox.has_waiting();
}

std::chrono::milliseconds Session::Tick() {
  bool busy = false;
  for (const auto& side : sides_) {
    busy = TickSide(*side) || busy;
  }
  return busy ? kTickBusy : kTickIdle;
}

}  // namespace vswap::client
