#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>

#include "services/cluster/node.h"

namespace vswap {

// Waits for the answer to an asynchronous call; DEADLINE_EXCEEDED where it has not come in time (it
// is dropped then). For threads that may block: never on an executor.
template <typename T>
StatusOr<T> AwaitFor(std::chrono::milliseconds limit,
                     const std::function<void(Callback<T>)>& call) {
  const auto promise = std::make_shared<std::promise<StatusOr<T>>>();
  std::future<StatusOr<T>> answer = promise->get_future();
  call([promise](StatusOr<T> result) { promise->set_value(std::move(result)); });
  if (answer.wait_for(limit) != std::future_status::ready) {
    return MakeError(StatusCode::kDeadlineExceeded,
                     "no answer within " + std::to_string(limit.count()) + " ms");
  }
  return answer.get();
}

// The same, of a call that answers a status.
inline Status AwaitStatus(std::chrono::milliseconds limit,
                          const std::function<void(std::function<void(Status)>)>& call) {
  return AwaitFor<bool>(limit,
                        [&](Callback<bool> done) {
                          call([done = std::move(done)](const Status& status) {
                            done(status.ok() ? StatusOr<bool>(true) : status);
                          });
                        })
      .status();
}

}  // namespace vswap
