#pragma once

#include <vector>

#include "client/operation.h"
#include "client/request.h"
#include "client/shard_ring.h"

namespace vswap::client {

// Asks one shard after the other for extents, one request at a time, until there are as many as
// wanted or each shard has said that it has no more. One that gives less than it was asked for has
// said so too. Where the service fails with some in hand these are the result, so that nobody loses
// them.
//
// Thread-confined: passed from thread to thread by the sink.
class AllocateCall : public Operation, private RequestOwner {
 public:
  struct Wish {
    uint32_t order = 0;
    uint64_t count = 0;
  };

  AllocateCall(const OperationContext& context, ShardRing& ring, const Wish& wish,
               Finisher& finisher);

  void AddRoom(Request& request) override { request_ = &request; }
  void Start() override { Ask(); }
  uint64_t pages() const override { return wish_.count << wish_.order; }
  std::vector<PageRange> TakeRanges() { return std::move(ranges_); }

 private:
  void OnAnswer(Request& request, const Answer& answer) override;
  // Whether it goes on.
  bool Take(const Answer& answer);
  void Ask();
  void End(Status status);

  ShardRing& ring_;
  const Wish wish_;
  const size_t first_place_;
  size_t shards_left_;
  Request* request_ = nullptr;
  std::vector<PageRange> ranges_;
};

}  // namespace vswap::client
