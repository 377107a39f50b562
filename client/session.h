#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "client/attach.h"
#include "client/client_stats.h"
#include "client/link.h"
#include "client/map_asker.h"
#include "client/messages.h"
#include "client/outbox.h"
#include "client/request.h"
#include "client/window.h"
#include "client/wire_buffers.h"

namespace vswap::client {

// The attachment to one space and its connections: two to each front-end, demand (loads) and bulk
// (the rest), so that a page-out never stands before a page-in. Numbers requests, sends each to the
// owner of its shard, matches answers, and keeps at it while owners change or are away:
//
//   stream ends, or is silent ─> ask for the shard map ─> new stream ─> send everything unfinished
//   again, in the same
//             ^                          │ fails              │ ends     sequences, with the new
//             epochs └───────── pause ──────────┴────────────────────┘
//
// Meanwhile other front-ends are asked for the map (MapAsker). A map that names another owner for a
// shard moves its requests there, unless it is older than what was seen of the shard. A request
// that is refused because of its epoch or owner, or for now, is sent again after a moment. No
// answer of an epoch below one that was seen is believed. What makes no progress for its patience
// fails. FENCED is final for all.
//
// Thread-safe. All streams and answers are run by one thread at a time: one that waits for its
// call, or the session's own (see EventQueue). One mutex guards the state;
// it is not held while messages are made, sent or taken apart, nor while owners are told. What it
// needs for requests is made at its start, or when a front-end joins: nothing is allocated for one
// but by gRPC. The destructor cancels what is under way.
class Session : public RequestSink {
 public:
  Session(const ClientOptions& options, const Attachment& attachment, const Clock& clock,
          const Outbox::Limits& limits = {});
  ~Session() override;

  void Submit(Request& request) override;
  // Fails everything under way and everything later; the first reason stays.
  void FailAll(const Status& why);
  // Whether the caller is told of an answer just now.
  bool OnThread() const { return events_.OnThread(); }
  EventQueue& events() { return events_; }
  void Read(ClientStats& stats);

 private:
  using Requests = Outbox::Requests;
  // One connection and what is to go over it.
  struct Side {
    Side(const Outbox::Limits& limits, size_t send_bytes_max, const std::string& frontend,
         const Clock& clock, EventQueue& events, Link::Handlers handlers)
        : outbox(limits),
          buffers(std::make_shared<SendBuffers>(kSendBuffers, send_bytes_max)),
          link(frontend, clock, events, std::move(handlers)) {}
    Outbox outbox;                   // these three under the session's mutex
    std::shared_ptr<Stream> stream;  // null while there is none
    Status last_failure;
    const std::shared_ptr<SendBuffers> buffers;
    Link link;
  };
  // A front-end that serves, or has served.
  struct Peer {
    std::string frontend;                        // of the one thread
    std::array<std::unique_ptr<Side>, 2> sides;  // demand, bulk
    bool listed = true;                          // in the last map; under the session's mutex
  };
  static constexpr size_t kPeersMax = 64;
  // What is sent next, and what with.
  struct Sending {
    std::shared_ptr<Stream> stream;
    SendBuffers::Buffer* buffer = nullptr;
    Request* request = nullptr;
    SendHeader header;
  };
  enum class Verdict { kDone, kAgain, kAskForMap, kFenced };
  static constexpr size_t kSendBuffers = 4;

  std::unique_ptr<Side> MakeSide(const std::string& frontend, size_t index);
  // Of a front-end; made now where it is new. 0: there are too many. Numbers are from 1.
  size_t FindOrMakePeer(const std::string& frontend);
  // One of a front-end that is gone and has nothing under way.
  size_t ReusePeer(const std::string& frontend);
  std::span<const std::unique_ptr<Peer>> peers() const { return {peers_.data(), peer_count_}; }
  // Where the request goes; null: nobody is known to own its shard.
  Side* SideOf(const Request& request) REQUIRES(mutex_);
  void Enqueue(Request& request);
  void Send(Side& side);
  // False if there is nothing to send, or nothing to send it with.
  bool NextSending(Side& side, Sending& sending);
  void Write(Side& side, const Sending& sending);
  void OnUp(Side& side, std::shared_ptr<Stream> stream);
  void OnDown(Side& side, Status why);
  void OnMap(const v1::ShardMap& map);
  void TakeOwners(const v1::ShardMap& map, const std::array<size_t, kPeersMax>& places)
      REQUIRES(mutex_);
  // Takes requests to where their shards are now.
  void MoveRequests() REQUIRES(mutex_);
  void AskOthers();
  void OnMessage(Side& side, const Stream* stream, grpc::ByteBuffer& message);
  Verdict Judge(const Request& request, const Answer& answer) REQUIRES(mutex_);
  // Begins what waited for the window.
  void ResumeStalled();
  // Takes the request, which is in no outbox any more, out of everything that could still use it.
  void Retire(Request& request) REQUIRES(mutex_);
  void Fail(Requests& requests, const Status& status);
  std::chrono::milliseconds Tick();
  bool TickSide(const Peer& peer, Side& side);
  void TickUnowned();
  // What has run out of patience, and what its owners are to be told. Null: nobody owns the shard.
  Status TakeExpired(Outbox& outbox, const Peer* peer, const Side* side, Requests& expired)
      REQUIRES(mutex_);
  void FailExpired(Requests& expired, const Status& over);
  Status PatienceOver(const Peer* peer, const Side* side, const Request& request) const
      REQUIRES(mutex_);

  const ClientOptions options_;
  const SpaceId space_;
  const Token token_;
  const Clock& clock_;
  EventQueue events_{[this] { return Tick(); }};

  Mutex mutex_;
  Window window_ GUARDED_BY(mutex_);
  std::vector<Epoch> epochs_ GUARDED_BY(mutex_);    // the highest seen, one a shard
  std::vector<uint8_t> owners_ GUARDED_BY(mutex_);  // a peer's number each; 0: unknown
  Outbox unowned_ GUARDED_BY(mutex_);               // what waits for an owner
  Requests stalled_ GUARDED_BY(mutex_);             // without a number yet
  CondVar written_;                                 // a request's being_written is 0
  uint64_t sent_ GUARDED_BY(mutex_) = 0;
  uint64_t resent_ GUARDED_BY(mutex_) = 0;
  uint64_t reconnects_ GUARDED_BY(mutex_) = 0;
  Status final_ GUARDED_BY(mutex_);
  // For answers, which are taken one after the other by the one thread.
  const PageMemory receive_room_;
  Answer answer_;
  const Outbox::Limits limits_;
  // The first peer_count_ are there and stay. Added to by the one thread.
  std::array<std::unique_ptr<Peer>, kPeersMax> peers_;
  std::atomic<size_t> peer_count_{0};
  MapAsker asker_;
  std::thread thread_;
};

}  // namespace vswap::client
