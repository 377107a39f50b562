#pragma once

#include "client/request_pool.h"

namespace vswap::client {

// What an operation needs; outlives it.
struct OperationContext {
  const Clock& clock;
  RequestSink& sink;
  RequestPool& pool;
  SpaceId space = 0;
  uint32_t shard_count = 0;
  Duration patience{};
};

// One call of the API on its way: it is given room, started, and tells its end.
class Operation {
 public:
  // Told once that everything is answered; the operation may be gone after that.
  class Finisher {
   public:
    virtual ~Finisher() = default;
    virtual void OnFinished() = 0;
  };

  Operation(const OperationContext& context, RequestKind kind, Finisher& finisher)
      : context_(context), kind_(kind), finisher_(finisher) {}
  virtual ~Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  RequestKind kind() const { return kind_; }
  // Once, before Start: what the first batch lies in, so that an operation that has begun never
  // waits for another one.
  virtual void AddRoom(Request& request) = 0;
  // Once.
  virtual void Start() = 0;
  // For whoever counts.
  virtual uint64_t pages() const = 0;
  void set_begun(TimePoint begun) { begun_ = begun; }
  TimePoint begun() const { return begun_; }
  // When finished: the first failure.
  const Status& status() const { return result_; }

 protected:
  // The last that it does.
  void Finish(Status result) {
    result_ = std::move(result);
    finisher_.OnFinished();
  }

  const OperationContext& context_;

 private:
  const RequestKind kind_;
  Finisher& finisher_;
  TimePoint begun_{};
  Status result_;
};

}  // namespace vswap::client
