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

ExchangeStream* ExchangeStream::Begin(const Handler& handler, LiveStreams& live) {
  const auto stream = std::make_shared<ExchangeStream>(handler, live);
  stream->self_ = stream;
  stream->StartRead(&stream->incoming_);
  return stream.get();
}

void ExchangeStream::OnDone() { const std::shared_ptr<ExchangeStream> last = std::move(self_); }

void ExchangeStream::OnReadDone(bool ok) {
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
    StartRead(&incoming_);
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
  bool more = false;
  {
    MutexLock lock(mutex_);
    more = !outgoing_.empty();
    writing_ = more;
    if (more) {
      being_written_.Swap(&outgoing_.front());
      outgoing_.pop_front();
    }
  }
  if (more) {
    StartWrite(&being_written_);
  } else {
    FinishIfDone();
  }
}

void ExchangeStream::OnWriteDone(bool ok) {
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
    reading_ = reading_ || read;
  }
  being_written_.Clear();
  if (read) {
    StartRead(&incoming_);
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
  Finish(grpc::Status::OK);
}

}  // namespace vswap
