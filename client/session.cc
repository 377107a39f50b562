#include "client/session.h"

#include <algorithm>
#include <string>
#include <utility>

#include "proto/grpc_glue.h"

namespace vswap::client {
namespace {

constexpr std::chrono::milliseconds kTickIdle(250);
constexpr std::chrono::milliseconds kTickBusy(5);

Answer Failure(const Status& status) {
  Answer answer;
  answer.status = status;
  return answer;
}

// Failures that may be over in a moment, and leave the request as if it had never been sent.
bool MayPass(const Status& status) {
  return status.code() == StatusCode::kUnavailable ||
         status.code() == StatusCode::kResourceExhausted;
}

}  // namespace

Session::Session(const ClientOptions& options, const Attachment& attachment, const Clock& clock,
                 const Outbox::Limits& limits)
    : options_(options),
      space_(attachment.space),
      token_(attachment.token),
      clock_(clock),
      epochs_(attachment.epochs),
      sides_{MakeSide(0, limits), MakeSide(1, limits)} {
  for (const auto& side : sides_) {
    side->link.Start();
  }
  thread_ = std::thread([this] { events_.Run([this] { return Tick(); }); });
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
  handlers.message = [this, index](const Stream* stream, const grpc::ByteBuffer& message) {
    OnMessage(*sides_[index], stream, message);
  };
  handlers.written = [this, index] { Send(*sides_[index]); };
  return std::make_unique<Side>(limits, options_.frontend, clock_, events_, std::move(handlers));
}

bool Session::TryNumber(const RequestPtr& request) {
  const std::optional<Sequence> sequence = window_.Begin(Changes(request->kind));
  request->sequence = sequence.value_or(0);
  return sequence.has_value();
}

void Session::Submit(RequestPtr request) {
  Status refusal;
  {
    MutexLock lock(mutex_);
    refusal = final_;
    if (refusal.ok() && !TryNumber(request)) {
      stalled_.push_back(std::move(request));
      return;
    }
  }
  if (refusal.ok()) {
    Enqueue(request);
  } else {
    Complete(request, Failure(refusal));
  }
}

void Session::Enqueue(const RequestPtr& request) {
  if (request->kind == RequestKind::kStore) {
    PrepareStore(space_, token_, request.get());
  }
  Side& side = SideOf(*request);
  Status refusal;
  {
    MutexLock lock(mutex_);
    refusal = final_;
    if (refusal.ok()) {
      side.outbox.Add(request, clock_.Now());
    } else {
      window_.Finish(request->sequence);
    }
  }
  if (refusal.ok()) {
    Send(side);
  } else {
    Complete(request, Failure(refusal));
  }
}

void Session::Send(Side& side) {
  while (true) {
    std::shared_ptr<Stream> stream;
    RequestPtr request;
    SendHeader header{space_, token_, 0, 0};
    {
      MutexLock lock(mutex_);
      stream = side.stream;
      if (!stream || !stream->TryBeginWrite()) {
        return;  // whoever writes looks for more afterwards
      }
      request = side.outbox.TakeNext(clock_.Now());
      if (!request) {
        stream->EndWrite();
        return;
      }
      header.epoch = epochs_[request->shard];
      header.floor = window_.floor();
    }
    if (WriteTo(*stream, *request, header)) {
      return;
    }
    stream->EndWrite();
  }
}

bool Session::WriteTo(Stream& stream, Request& request, const SendHeader& header) {
  grpc::ByteBuffer message;
  {
    MutexLock lock(request.send_mutex);
    if (request.finished) {
      return false;
    }
    std::vector<ByteView> pages;
    const std::string head = MakeRequestHead(header, request, &pages);
    message = MakeMessage(head, pages);
  }
  stream.Write(message);
  return true;
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
      return Verdict::kAskForMap;
    default:
      return MayPass(answer.status) ? Verdict::kAgain : Verdict::kDone;
  }
}

void Session::OnMessage(Side& side, const Stream* stream, const grpc::ByteBuffer& message) {
  const OwnedMessage owned(message);
  const StatusOr<Answer> answer = ParseAnswer(owned.bytes());
  if (!answer.ok() || (answer->id == 0 && !answer->status.ok())) {
    // One of the two ends does not understand the other: nothing on this stream can be relied on.
    return side.link.Replace(answer.ok() ? answer->status : answer.status());
  }
  side.link.NoteProgress();
  RequestPtr request;
  Verdict verdict = Verdict::kDone;
  {
    MutexLock lock(mutex_);
    request = side.stream.get() == stream ? side.outbox.Find(answer->id) : nullptr;
    if (!request) {
      return;  // late, of a stream or request that was given up
    }
    const TimePoint now = clock_.Now();
    side.outbox.NoteAnswer(now);
    verdict = Judge(*request, *answer);
    if (verdict == Verdict::kDone) {
      side.outbox.Remove(request);
      window_.Finish(request->sequence);
    } else {
      side.last_failure = answer->status;
      side.outbox.PutBack(request, now);
      events_.Hurry();
    }
  }
  if (verdict == Verdict::kFenced) {
    FailAll(answer->status);
  } else if (verdict == Verdict::kAskForMap) {
    side.link.AskForMap();
  } else if (verdict == Verdict::kDone) {
    Complete(request, *answer);
    ResumeStalled();
  }
  Send(side);
}

void Session::ResumeStalled() {
  while (true) {
    RequestPtr request;
    {
      MutexLock lock(mutex_);
      if (stalled_.empty() || !TryNumber(stalled_.front())) {
        return;
      }
      request = std::move(stalled_.front());
      stalled_.pop_front();
    }
    Enqueue(request);
  }
}

void Session::Complete(const RequestPtr& request, const Answer& answer) {
  {
    MutexLock lock(request->send_mutex);
    request->finished = true;
  }
  request->done(answer);
}

void Session::CompleteAll(const std::vector<RequestPtr>& requests, const Status& status) {
  for (const RequestPtr& request : requests) {
    Complete(request, Failure(status));
  }
}

void Session::FailAll(const Status& why) {
  std::vector<RequestPtr> failed;
  Status status;
  {
    MutexLock lock(mutex_);
    if (final_.ok()) {
      final_ = why;
    }
    status = final_;
    for (const auto& side : sides_) {
      for (RequestPtr& request : side->outbox.TakeAll()) {
        window_.Finish(request->sequence);
        failed.push_back(std::move(request));
      }
    }
    failed.insert(failed.end(), stalled_.begin(), stalled_.end());
    stalled_.clear();
  }
  CompleteAll(failed, status);
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
  std::vector<RequestPtr> expired;
  Status over;
  bool silent = false;
  {
    MutexLock lock(mutex_);
    const TimePoint now = clock_.Now();
    expired = side.outbox.TakeExpired(now);
    for (const RequestPtr& request : expired) {
      window_.Finish(request->sequence);
    }
    over = PatienceOver(side);
    silent = side.stream && side.outbox.Silent(now);
  }
  if (silent) {
    side.link.Replace(MakeError(StatusCode::kDeadlineExceeded, "the connection went silent"));
  }
  CompleteAll(expired, over);
  if (!expired.empty()) {
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
