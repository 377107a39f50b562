#pragma once

#include <array>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "client/attach.h"
#include "client/link.h"
#include "client/messages.h"
#include "client/outbox.h"
#include "client/request.h"
#include "client/swap_client.h"
#include "client/window.h"

namespace vswap::client {

// The attachment to one space and its two connections: demand (loads) and bulk (the rest), so that
// a page-out never stands before a page-in. Numbers requests, sends them, matches answers, and
// keeps at it while the service is away:
//
//   stream ends, or is silent ─> ask for the shard map ─> new stream ─> send everything unfinished
//   again, in the same
//             ^                          │ fails              │ ends     sequences, with the new
//             epochs └───────── pause ──────────┴────────────────────┘
//
// A request that is refused because of its epoch, or for now, is sent again after a moment. No
// answer of an epoch below one that was seen is believed. What makes no progress for its patience
// fails. FENCED is final for all.
//
// Thread-safe. One thread of its own runs both streams and all answers. One mutex guards the state;
// it is not held while messages are made, sent or taken apart, nor while `done` runs. The
// destructor cancels what is under way.
class Session : public RequestSink {
 public:
  Session(const ClientOptions& options, const Attachment& attachment, const Clock& clock,
          const Outbox::Limits& limits = {});
  ~Session() override;

  void Submit(RequestPtr request) override;
  // Fails everything under way and everything later; the first reason stays.
  void FailAll(const Status& why);
  // Whether the caller is the session's thread.
  bool OnThread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  // One connection and what is to go over it.
  struct Side {
    Side(const Outbox::Limits& limits, std::string frontend, const Clock& clock, EventQueue& events,
         Link::Handlers handlers)
        : outbox(limits), link(std::move(frontend), clock, events, std::move(handlers)) {}
    Outbox outbox;                   // these three under the session's mutex
    std::shared_ptr<Stream> stream;  // null while there is none
    Status last_failure;
    Link link;
  };
  enum class Verdict { kDone, kAgain, kAskForMap, kFenced };

  std::unique_ptr<Side> MakeSide(size_t index, const Outbox::Limits& limits);
  Side& SideOf(const Request& request) {
    return *sides_[request.kind == RequestKind::kLoad ? 0 : 1];
  }
  // Numbers the request if the window allows.
  bool TryNumber(const RequestPtr& request) REQUIRES(mutex_);
  void Enqueue(const RequestPtr& request);
  void Send(Side& side);
  // False if it is finished meanwhile.
  bool WriteTo(Stream& stream, Request& request, const SendHeader& header);
  void OnUp(Side& side, std::shared_ptr<Stream> stream);
  void OnDown(Side& side, Status why);
  void OnMap(const v1::ShardMap& map);
  void OnMessage(Side& side, const Stream* stream, const grpc::ByteBuffer& message);
  Verdict Judge(const Request& request, const Answer& answer) REQUIRES(mutex_);
  // Begins what waited for the window.
  void ResumeStalled();
  void Complete(const RequestPtr& request, const Answer& answer);
  void CompleteAll(const std::vector<RequestPtr>& requests, const Status& status);
  std::chrono::milliseconds Tick();
  bool TickSide(Side& side);
  Status PatienceOver(const Side& side) const REQUIRES(mutex_);

  const ClientOptions options_;
  const SpaceId space_;
  const Token token_;
  const Clock& clock_;
  EventQueue events_;

  Mutex mutex_;
  Window window_ GUARDED_BY(mutex_);
  std::vector<Epoch> epochs_ GUARDED_BY(mutex_);       // the highest seen, one a shard
  std::deque<RequestPtr> stalled_ GUARDED_BY(mutex_);  // without a number yet
  Status final_ GUARDED_BY(mutex_);
  std::array<std::unique_ptr<Side>, 2> sides_;  // demand, bulk
  std::thread thread_;
};

}  // namespace vswap::client
