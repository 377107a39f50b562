#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "etcd/rpc.grpc.pb.h"
#include "services/cluster/etcd_coordinator.h"
#include "services/common/executor.h"
#include "services/common/mutex.h"

namespace vswap {

// The ways to the members of an etcd cluster, one of which is in use until it fails; and what is
// under way on them.
//
// Thread-safe; owned by a shared_ptr. Closed before its owner lets it go: then nothing of gRPC is
// left, whose threads must not be the last to hold a channel (gRPC would take down its callback
// threads from one of them, and crash). What waits for a time holds it weakly.
class EtcdConnection : public std::enable_shared_from_this<EtcdConnection> {
 public:
  struct Endpoint {
    std::string address;
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<etcdserverpb::KV::Stub> kv;
    std::unique_ptr<etcdserverpb::Lease::Stub> lease;
    std::unique_ptr<etcdserverpb::Watch::Stub> watch;
  };
  // Something of gRPC's under way, which Close ends. Thread-safe.
  class Call {
   public:
    virtual ~Call() = default;
    virtual void Cancel() = 0;
  };

  EtcdConnection(const EtcdOptions& options, Executor& executor);

  // Which endpoint to use now.
  size_t current() const;
  const Endpoint& endpoint(size_t i) const { return endpoints_[i]; }
  size_t endpoint_count() const { return endpoints_.size(); }
  bool IsReady(size_t i) const;
  // This endpoint did not do its work: the next one is to be used, if it was this one.
  void Failed(size_t i, const std::string& why);
  void Succeeded();

  // False once it is being closed: then the call must not begin.
  bool Begin(const std::shared_ptr<Call>& call);
  // Last word of a call: its context is gone, and it does not touch this again.
  void End(Call* call);
  // Cancels all calls and waits for their ends. Not from gRPC's threads.
  void Close();

  // On the executor; `closed` in its place where the connection is gone by then.
  void After(Duration delay, std::function<void()> task, std::function<void()> closed = {});
  // Before the attempt that follows `failures` in a row: doubles, half of it by chance.
  Duration Backoff(int failures) const;
  Executor& executor() { return executor_; }
  const EtcdOptions& options() const { return options_; }

  static std::chrono::system_clock::time_point DeadlineIn(Duration timeout) {
    return std::chrono::system_clock::now() +
           std::chrono::duration_cast<std::chrono::system_clock::duration>(timeout);
  }
  // "etcd HOST:PORT: DOING: what gRPC says", with its code.
  Status ToStatus(const grpc::Status& status, size_t i, const std::string& doing) const;

  // Sends a request by a stub's async method.
  template <typename Request, typename Response>
  using Sender = std::function<void(const Endpoint&, grpc::ClientContext*, const Request*,
                                    Response*, std::function<void(grpc::Status)>)>;

  // One unary call to one endpoint, once. `done` runs on gRPC's threads, or within the call where
  // the connection is closed.
  template <typename Request, typename Response>
  void Send(size_t i, Duration timeout, const Sender<Request, Response>& sender, Request request,
            std::function<void(const grpc::Status&, Response)> done);

  // A call that may be made twice: to the next endpoints too, and again, until the time is over.
  template <typename Request, typename Response>
  struct Repeatable {
    Sender<Request, Response> sender;
    Request request;
    std::string doing;
    // The answer, who gave it, and how often it had failed before. On any thread; after an error
    // the connection may be gone.
    std::function<void(StatusOr<Response>, size_t endpoint, int failures)> done;
    TimePoint deadline{};
    int failures = 0;
  };
  template <typename Request, typename Response>
  void Repeat(Repeatable<Request, Response> call) {
    call.deadline = std::chrono::steady_clock::now() + options_.timeout;
    Try(std::make_shared<Repeatable<Request, Response>>(std::move(call)));
  }

  // Linearizable, and repeated.
  using RangeDone = std::function<void(StatusOr<etcdserverpb::RangeResponse>, size_t endpoint)>;
  void Range(etcdserverpb::RangeRequest request, std::string doing, RangeDone done);

 private:
  template <typename Request, typename Response>
  struct UnaryCall : Call {
    grpc::ClientContext context;
    Request request;
    Response response;
    std::function<void(const grpc::Status&, Response)> done;
    void Cancel() override { context.TryCancel(); }
  };
  template <typename Request, typename Response>
  void Try(std::shared_ptr<Repeatable<Request, Response>> call);
  static bool MayHelpToRepeat(const grpc::Status& status);
  Duration AttemptTimeout(TimePoint deadline) const;

  const EtcdOptions options_;
  Executor& executor_;
  std::vector<Endpoint> endpoints_;
  mutable Mutex mutex_;
  CondVar ended_;
  size_t current_ GUARDED_BY(mutex_) = 0;
  bool well_ GUARDED_BY(mutex_) = true;
  bool closing_ GUARDED_BY(mutex_) = false;
  std::map<Call*, std::weak_ptr<Call>> calls_ GUARDED_BY(mutex_);
};

template <typename Request, typename Response>
void EtcdConnection::Send(size_t i, Duration timeout, const Sender<Request, Response>& sender,
                          Request request,
                          std::function<void(const grpc::Status&, Response)> done) {
  auto call = std::make_shared<UnaryCall<Request, Response>>();
  if (!Begin(call)) {
    return done(grpc::Status(grpc::StatusCode::CANCELLED, "closed"), Response());
  }
  call->request = std::move(request);
  call->done = std::move(done);
  call->context.set_deadline(DeadlineIn(timeout));
  auto* const key = call.get();
  sender(endpoints_[i], &key->context, &key->request, &key->response,
         [this, key, call = std::move(call)](const grpc::Status& status) mutable {
           {
             const auto tell = std::move(call->done);
             Response response = std::move(call->response);
             call.reset();
             tell(status, std::move(response));
           }
           End(key);
         });
}

template <typename Request, typename Response>
void EtcdConnection::Try(std::shared_ptr<Repeatable<Request, Response>> call) {
  const size_t i = current();
  Send<Request, Response>(
      i, AttemptTimeout(call->deadline), call->sender, call->request,
      [this, i, call](const grpc::Status& status, Response response) {
        if (status.ok()) {
          Succeeded();
          return call->done(std::move(response), i, call->failures);
        }
        const Status failure = ToStatus(status, i, call->doing);
        if (!MayHelpToRepeat(status)) {
          return call->done(failure, i, call->failures);
        }
        Failed(i, status.error_message());
        ++call->failures;
        const int rounds = call->failures / static_cast<int>(endpoint_count());
        const bool next_of_round = call->failures % static_cast<int>(endpoint_count()) != 0;
        const Duration delay = next_of_round ? Duration::zero() : Backoff(rounds);
        if (std::chrono::steady_clock::now() + delay >= call->deadline) {
          return call->done(failure, i, call->failures);
        }
        After(
            delay, [this, call] { Try(call); },
            [call, failure, i] { call->done(failure, i, call->failures); });
      });
}

}  // namespace vswap
