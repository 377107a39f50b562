#include "services/frontend/exchange_stream.h"

namespace vswap {

void LiveStreams::Add() {
  MutexLock lock(mutex_);
  ++live_;
}

void LiveStreams::Remove() {
  MutexLock lock(mutex_);
  --live_;
  none_.NotifyAll();
}

void LiveStreams::WaitForNone() {
  MutexLock lock(mutex_);
  while (live_ > 0) {
    none_.Wait(mutex_);
  }
}

ExchangeStream::ExchangeStream(const Handler& handler, LiveStreams& live)
    : handler_(handler), live_(live) {
  live_.Add();
}

ExchangeStream::~ExchangeStream() { live_.Remove(); }

void ExchangeStream::Accept(const Request& request, const Handler& handler, LiveStreams& live) {
  auto stream = std::make_shared<ExchangeStream>(handler, live);
  request(&stream->context_, &stream->stream_,
          new QueueEvent([stream, &request, &handler, &live](bool ok) {
            if (!ok) {
              return;  // the server shuts down
            }
            Accept(request, handler, live);
            stream->Read();
          }));
}

QueueEvent* ExchangeStream::Event(void (ExchangeStream::*method)(bool)) {
  return new QueueEvent(
      [self = shared_from_this(), method](bool ok) { (self.get()->*method)(ok); });
}

void ExchangeStream::Read() {
  {
    MutexLock lock(mutex_);
    reading_ = true;
  }
  stream_.Read(&incoming_, Event(&ExchangeStream::OnRead));
}

void ExchangeStream::OnRead(bool ok) {
  grpc::ByteBuffer request;
  bool room = false;
  {
    MutexLock lock(mutex_);
    reading_ = false;
    ended_ = !ok;
    if (ok) {
      request.Swap(&incoming_);
      room = ++in_flight_ < kInFlightMax;
      // Over the bound, the next answer that is written reads on.
      reading_ = room;
    }
  }
  if (!ok) {
    return FinishIfDone();
  }
  if (room) {
    // Before the handler runs: another thread may take the next request meanwhile.
    stream_.Read(&incoming_, Event(&ExchangeStream::OnRead));
  }
  handler_(request,
           [self = shared_from_this()](grpc::ByteBuffer answer) { self->Send(std::move(answer)); });
}

void ExchangeStream::Send(grpc::ByteBuffer answer) {
  {
    MutexLock lock(mutex_);
    if (!broken_) {
      outgoing_.push_back(std::move(answer));
      if (writing_) {
        return;
      }
      writing_ = true;
    } else {
      --in_flight_;
    }
  }
  Write();
}

void ExchangeStream::Write() {
  grpc::ByteBuffer next;
  {
    MutexLock lock(mutex_);
    if (outgoing_.empty()) {
      writing_ = false;
    } else {
      next.Swap(&outgoing_.front());
      outgoing_.pop_front();
    }
  }
  if (!next.Valid()) {
    return FinishIfDone();
  }
  stream_.Write(next, Event(&ExchangeStream::OnWritten));
}

void ExchangeStream::OnWritten(bool ok) {
  bool read = false;
  {
    MutexLock lock(mutex_);
    --in_flight_;
    if (!ok) {
      broken_ = true;
      in_flight_ -= outgoing_.size();
      outgoing_.clear();
    }
    read = !reading_ && !ended_ && in_flight_ < kInFlightMax;
  }
  if (read) {
    Read();
  }
  Write();
}

void ExchangeStream::FinishIfDone() {
  {
    MutexLock lock(mutex_);
    // With the client gone nobody reads on.
    const bool ended = ended_ || (broken_ && !reading_);
    if (finished_ || !ended || writing_ || in_flight_ > 0) {
      return;
    }
    finished_ = true;
  }
  stream_.Finish(grpc::Status::OK, new QueueEvent([self = shared_from_this()](bool) {}));
}

}  // namespace vswap
