#include "client/session.h"

#include <algorithm>
#include <string>
#include <utility>

#include "proto/grpc_glue.h"

namespace vswap::client {
namespace {

constexpr std::chrono::milliseconds kTickIdle(250);
constexpr std::chrono::milliseconds kTickBusy(5);
// Without an answer for so long, a front-end may have lost its shards.
constexpr std::chrono::seconds kQuietMax(1);

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
      epochs_(attachment.map.epochs().begin(), attachment.map.epochs().end()),
      owners_(epochs_.size()),
      unowned_(limits),
      receive_room_(kMessageBytesMax),
      limits_(limits),
      asker_(clock, events_, [this](const v1::ShardMap& map) { OnMap(map); }) {
  OnMap(attachment.map);
  thread_ = std::thread([this] { events_.Run(); });
}

Session::~Session() {
  events_.Post([this] {
    FailAll(MakeError(StatusCode::kCancelled, "the client is being destroyed"));
    for (const auto& peer : peers()) {
      for (const auto& side : peer->sides) {
        side->link.Stop();
      }
    }
    asker_.Stop();
    events_.Stop();
  });
  thread_.join();
}

size_t Session::FindOrMakePeer(const std::string& frontend) {
  const auto known = peers();
  const auto found = std::ranges::find(known, frontend, [](const auto& p) { return p->frontend; });
  if (found != known.end()) {
    return static_cast<size_t>(found - known.begin()) + 1;
  }
  if (known.size() == kPeersMax) {
    return ReusePeer(frontend);
  }
  auto peer = std::make_unique<Peer>();
  peer->frontend = frontend;
  for (size_t index = 0; index < peer->sides.size(); ++index) {
    peer->sides[index] = MakeSide(frontend, index);
  }
  Peer& added = *peer;
  peers_[known.size()] = std::move(peer);
  ++peer_count_;
  for (const auto& side : added.sides) {
    side->link.Start();
  }
  return peer_count_;
}

size_t Session::ReusePeer(const std::string& frontend) {
  size_t number = 0;
  {
    MutexLock lock(mutex_);
    const auto known = peers();
    const auto found = std::ranges::find_if(known, [](const auto& peer) {
      return !peer->listed && std::ranges::all_of(peer->sides, [](const auto& side) {
        return side->outbox.empty();
      });
    });
    if (found == known.end()) {
      return 0;
    }
    number = static_cast<size_t>(found - known.begin()) + 1;
    (*found)->frontend = frontend;
    // What is known of its shards was of the other one.
    std::ranges::replace(owners_, static_cast<uint8_t>(number), uint8_t{0});
  }
  for (const auto& side : peers_[number - 1]->sides) {
    side->link.MoveTo(frontend);
  }
  return number;
}

std::unique_ptr<Session::Side> Session::MakeSide(const std::string& frontend, size_t index) {
  // Set below: nothing happens before the link is started.
  const auto self = std::make_shared<Side*>(nullptr);
  Link::Handlers handlers;
  handlers.up = [this, self](std::shared_ptr<Stream> stream) { OnUp(**self, std::move(stream)); };
  handlers.down = [this, self](Status why) { OnDown(**self, std::move(why)); };
  handlers.map = [this](const v1::ShardMap& map) { OnMap(map); };
  handlers.message = [this, self](const Stream* stream, grpc::ByteBuffer& message) {
    OnMessage(**self, stream, message);
  };
  handlers.written = [this, self] { Send(**self); };
  // Only the second one carries pages out.
  const size_t send_bytes_max =
      kRequestHeadBytesMax + (index == 0 ? 0 : kBatchPagesMax * kPageBytes);
  auto side = std::make_unique<Side>(limits_, send_bytes_max, frontend, clock_, events_,
                                     std::move(handlers));
  *self = side.get();
  return side;
}

Session::Side* Session::SideOf(const Request& request) {
  const size_t owner = owners_[request.shard];
  return owner == 0 ? nullptr
                    : peers_[owner - 1]->sides[request.kind == RequestKind::kLoad ? 0 : 1].get();
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
  Side* side = nullptr;
  Status refusal;
  {
    MutexLock lock(mutex_);
    refusal = final_;
    side = SideOf(request);
    if (refusal.ok()) {
      (side == nullptr ? unowned_ : side->outbox).Add(request, clock_.Now());
    } else {
      window_.Finish(request);
    }
  }
  if (!refusal.ok()) {
    Refuse(request, refusal);
  } else if (side != nullptr) {
    Send(*side);
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
  std::array<size_t, kPeersMax> places{};  // numbers of the front-ends in the map
  const bool alone = map.owners_size() == 0;
  const auto is_listed = [&](const std::unique_ptr<Peer>& peer) {
    return alone || std::ranges::find(map.front_ends(), peer->frontend) != map.front_ends().end();
  };
  {
    // Their places are not given to new ones.
    MutexLock lock(mutex_);
    for (const auto& peer : peers()) {
      peer->listed = peer->listed || is_listed(peer);
    }
  }
  if (alone) {
    // Whoever answers owns all.
    places[0] = FindOrMakePeer(FrontEndsOf(options_).front());
  }
  for (int i = 0; i < map.front_ends_size() && i < static_cast<int>(kPeersMax); ++i) {
    places[static_cast<size_t>(i)] = FindOrMakePeer(map.front_ends(i));
  }
  {
    MutexLock lock(mutex_);
    if (map.epochs_size() != static_cast<int>(epochs_.size()) ||
        (!alone && map.owners_size() != map.epochs_size())) {
      return;  // not of this cluster; the requests' own refusals will say so
    }
    TakeOwners(map, places);
    // A map may be older than what is known of some shards: whoever owns one stays.
    const auto known = peers();
    for (size_t i = 0; i < known.size(); ++i) {
      known[i]->listed = is_listed(known[i]) || std::ranges::find(owners_, i + 1) != owners_.end();
    }
    MoveRequests();
  }
  for (const auto& peer : peers()) {
    for (const auto& side : peer->sides) {
      Send(*side);
    }
  }
}

// What is known by an older epoch than was seen is not believed.
void Session::TakeOwners(const v1::ShardMap& map, const std::array<size_t, kPeersMax>& places) {
  for (int i = 0; i < map.epochs_size(); ++i) {
    const auto shard = static_cast<size_t>(i);
    if (map.epochs(i) < epochs_[shard]) {
      continue;
    }
    epochs_[shard] = map.epochs(i);
    const uint32_t owner = map.owners_size() == 0 ? 1 : map.owners(i);
    owners_[shard] = owner == 0 || owner > kPeersMax ? 0 : static_cast<uint8_t>(places[owner - 1]);
  }
}

void Session::MoveRequests() {
  Requests moved;
  unowned_.TakeIf(
      [this](const Request& request) {
        mutex_.AssertHeld();
        return SideOf(request) != nullptr;
      },
      moved);
  for (const auto& peer : peers()) {
    for (const auto& side : peer->sides) {
      side->outbox.TakeIf(
          [this, here = side.get()](const Request& request) {
            mutex_.AssertHeld();
            return SideOf(request) != here;
          },
          moved);
    }
  }
  while (Request* request = moved.PopFront()) {
    Side* const side = SideOf(*request);
    (side == nullptr ? unowned_ : side->outbox).TakeOver(*request);
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
    unowned_.TakeAll(failed);
    for (const auto& peer : peers()) {
      for (const auto& side : peer->sides) {
        side->outbox.TakeAll(failed);
      }
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
  for (const auto& peer : peers()) {
    for (const auto& side : peer->sides) {
      stats.in_flight_bytes += side->outbox.in_flight_bytes();
    }
  }
}

Status Session::TakeExpired(Outbox& outbox, const Peer* peer, const Side* side, Requests& expired) {
  outbox.TakeExpired(clock_.Now(), expired);
  for (Request* request = expired.First(); request != nullptr; request = expired.After(*request)) {
    Retire(*request);
  }
  return expired.empty() ? Status() : PatienceOver(peer, side, *expired.First());
}

Status Session::PatienceOver(const Peer* peer, const Side* side, const Request& request) const {
  const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(options_.patience);
  std::string message =
      "space " + options_.space + ", shard " + std::to_string(request.shard) +
      ": no answer from frontend " +
      (peer == nullptr ? options_.frontend + " (it has no owner)" : peer->frontend) + " within " +
      std::to_string(patience.count()) + " ms";
  if (side != nullptr && !side->last_failure.ok()) {
    message += "; last failure: " + std::string(MessageOf(side->last_failure));
  }
  return MakeError(
      side != nullptr && side->stream ? StatusCode::kDeadlineExceeded : StatusCode::kUnavailable,
      message);
}

void Session::FailExpired(Requests& expired, const Status& over) {
  if (!expired.empty()) {
    Fail(expired, over);
    ResumeStalled();
  }
}

void Session::TickUnowned() {
  Requests expired;
  Status over;
  {
    MutexLock lock(mutex_);
    over = TakeExpired(unowned_, nullptr, nullptr, expired);
  }
  FailExpired(expired, over);
}

bool Session::TickSide(const Peer& peer, Side& side) {
  bool listed = false;
  {
    MutexLock lock(mutex_);
    listed = peer.listed;
  }
  if (listed) {
    side.link.Tick();
  }
  Requests expired;
  Status over;
  bool silent = false;
  {
    MutexLock lock(mutex_);
    over = TakeExpired(side.outbox, &peer, &side, expired);
    silent = side.stream && side.outbox.Silent(clock_.Now());
  }
  if (silent) {
    side.link.Replace(MakeError(StatusCode::kDeadlineExceeded, "the connection went silent"));
  }
  FailExpired(expired, over);
  Send(side);
  MutexLock lock(mutex_);
  return (listed && !side.stream) || side.outbox.has_waiting();
}

// Where some front-end does not answer, others may know better who owns its shards.
void Session::AskOthers() {
  bool unowned = false;
  std::vector<std::string> front_ends;
  {
    MutexLock lock(mutex_);
    unowned = !unowned_.empty();
    bool wanted = unowned;
    for (const auto& peer : peers()) {
      bool well = true;
      for (const auto& side : peer->sides) {
        well = well && side->stream && !side->outbox.QuietFor(kQuietMax, clock_.Now());
      }
      wanted = wanted || (peer->listed && !well);
    }
    if (!wanted) {
      return;
    }
    for (const auto& peer : peers()) {
      if (peer->listed) {
        front_ends.push_back(peer->frontend);
      }
    }
  }
  for (const std::string& seed : FrontEndsOf(options_)) {
    if (std::ranges::find(front_ends, seed) == front_ends.end()) {
      front_ends.push_back(seed);
    }
  }
  // A single one that does not answer is asked over its own connection, which it needs anyway.
  if (front_ends.size() > 1 || unowned) {
    asker_.Ask(front_ends);
  }
}

std::chrono::milliseconds Session::Tick() {
  bool busy = false;
  for (const auto& peer : peers()) {
    for (const auto& side : peer->sides) {
      busy = TickSide(*peer, *side) || busy;
    }
  }
  TickUnowned();
  AskOthers();
  MutexLock lock(mutex_);
  return busy || !unowned_.empty() ? kTickBusy : kTickIdle;
}

}  // namespace vswap::client
