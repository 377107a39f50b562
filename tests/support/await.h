#pragma once

#include <future>
#include <memory>

#include "services/cluster/node.h"

namespace vswap {

// Makes a call with a callback and waits for its answer:
//   Await<PutReply>([&](auto done) { node.Put(pages, Lane::kPageOut, done); })
// With a ManualExecutor, whose Dispatch runs at once, the answer is there when the call returns.
template <typename T, typename Call>
StatusOr<T> Await(Call call) {
  auto promise = std::make_shared<std::promise<StatusOr<T>>>();
  auto future = promise->get_future();
  call(Callback<T>([promise](StatusOr<T> answer) { promise->set_value(std::move(answer)); }));
  return future.get();
}

}  // namespace vswap
