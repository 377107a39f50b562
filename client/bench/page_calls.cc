#include "client/bench/page_calls.h"

#include <algorithm>
#include <latch>

#include "client/bench/table_phases.h"

namespace vswap::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

Status FailureOf(const PagesResult& result) {
  VSWAP_RETURN_IF_ERROR(result.status);
  const auto bad =
      std::ranges::find_if(result.codes, [](PageCode code) { return code != PageCode::kOk; });
  return bad == result.codes.end()
             ? Status()
             : MakeError(StatusCode::kInternal,
                         std::string("a page was answered with ") + Name(*bad));
}

}  // namespace

// One of the calls that are under way at once. Touched by one thread at a time.
struct PageCalls::Lane {
  uint64_t next = 0;  // call of the walk
  SteadyClock::time_point end;
  SteadyClock::time_point begun;
  std::vector<std::byte> loaded;
  std::vector<double> latencies_us;
  Status failure;
  std::latch* over = nullptr;
};

void PageCalls::Begin(Lane& lane) {
  const uint64_t batches = options_.pages / options_.batch;
  const uint64_t offset = Scattered(lane.next % batches, batches) * options_.batch;
  lane.next += options_.depth;
  const auto done = [this, &lane](const PagesResult& result) { OnDone(lane, result); };
  lane.begun = SteadyClock::now();
  if (options_.op == PageOp::kOut) {
    client_.StoreAsync({{offset, options_.batch}},
                       content_.subspan(offset * kPageBytes, options_.batch * kPageBytes), done);
  } else {
    client_.LoadAsync({{offset, options_.batch}}, lane.loaded, done);
  }
}

void PageCalls::OnDone(Lane& lane, const PagesResult& result) {
  const auto now = SteadyClock::now();
  lane.latencies_us.push_back(std::chrono::duration<double, std::micro>(now - lane.begun).count());
  lane.failure = FailureOf(result);
  if (lane.failure.ok() && now < lane.end) {
    Begin(lane);
  } else {
    lane.over->count_down();
  }
}

StatusOr<CallTimes> PageCalls::Run(Duration length) {
  std::latch over(static_cast<ptrdiff_t>(options_.depth));
  std::vector<Lane> lanes(options_.depth);
  const auto begin = SteadyClock::now();
  for (uint64_t i = 0; i < options_.depth; ++i) {
    Lane& lane = lanes[i];
    lane.next = done_ + i;
    lane.end = begin + length;
    lane.loaded.resize(options_.op == PageOp::kIn ? options_.batch * kPageBytes : 0);
    lane.over = &over;
  }
  for (Lane& lane : lanes) {
    Begin(lane);
  }
  over.wait();
  CallTimes times;
  times.seconds = std::chrono::duration<double>(SteadyClock::now() - begin).count();
  for (const Lane& lane : lanes) {
    VSWAP_RETURN_IF_ERROR(lane.failure);
    done_ = std::max(done_, lane.next);
    times.latencies_us.insert(times.latencies_us.end(), lane.latencies_us.begin(),
                              lane.latencies_us.end());
  }
  std::ranges::sort(times.latencies_us);
  return times;
}

}  // namespace vswap::bench
