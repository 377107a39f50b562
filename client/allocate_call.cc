#include "client/allocate_call.h"

#include <algorithm>
#include <string>
#include <utility>

#include "client/messages.h"

namespace vswap::client {

AllocateCall::AllocateCall(const OperationContext& context, ShardRing& ring, const Wish& wish,
                           Finisher& finisher)
    : Operation(context, RequestKind::kAllocate, finisher),
      ring_(ring),
      wish_(wish),
      first_place_(ring.Current(wish.order)),
      shards_left_(ring.shards()) {}

void AllocateCall::Ask() {
  Request& request = *request_;
  request.Renew();
  request.owner = this;
  request.kind = kind();
  request.lane = Lane::kPageOut;
  request.shard = ring_.At(first_place_ + ring_.shards() - shards_left_);
  request.order = wish_.order;
  request.count = static_cast<uint32_t>(std::min<uint64_t>(
      {wish_.count - ranges_.size(), kAllocateCountMax, kStripePages >> wish_.order}));
  request.patience = context_.patience;
  context_.sink.Submit(request);
}

void AllocateCall::OnAnswer(Request& request, const Answer& answer) {
  const bool full = answer.status.code() == StatusCode::kResourceExhausted;
  Status status = full ? Status() : answer.status;
  if (status.ok() && !full) {
    status = CheckAnswer(request, answer);
  }
  if (!status.ok()) {
    End(ranges_.empty() ? std::move(status) : Status());
  } else if (Take(answer)) {
    Ask();
  } else {
    End(!ranges_.empty()
            ? Status()
            : MakeError(StatusCode::kResourceExhausted,
                        "no free extent of order " + std::to_string(wish_.order) + " in any of " +
                            std::to_string(ring_.shards()) + " shards"));
  }
}

bool AllocateCall::Take(const Answer& answer) {
  for (const Offset offset : answer.offsets) {
    ranges_.push_back({offset, uint64_t{1} << wish_.order});
  }
  if (!answer.offsets.empty()) {
    ring_.StayAt(wish_.order, first_place_ + ring_.shards() - shards_left_);
  }
  shards_left_ -= answer.offsets.size() < request_->count;
  return ranges_.size() < wish_.count && shards_left_ > 0;
}

void AllocateCall::End(Status status) {
  context_.pool.PutBack(*request_);
  Finish(std::move(status));
}

}  // namespace vswap::client
