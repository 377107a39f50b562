// A process that uses a space until it is refused, for a test that stops it meanwhile:
//   space_user FRONTENDS SPACE
// Keeps stores and loads under way, prints its process id once all goes well, and in the end how
// its calls ended.
#include "tests/fault/space_user.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <future>

#include "client/swap_client.h"
#include "tests/support/page_bytes.h"

namespace vswap {
namespace {

constexpr uint64_t kRoundsAtFirst = 4;  // of each call, before all goes well

std::atomic<bool> went_on{false};  // after a stop

void NoteGoingOn(int) { went_on = true; }

// Stores to its slots and loads them again, in turns. The client's callbacks run one at a time.
class Turns {
 public:
  Turns(SwapClient& client, std::atomic<uint64_t>& rounds, std::atomic<uint64_t>& left)
      : client_(client), rounds_(rounds), left_(left) {}

  void Begin(uint64_t call) {
    call_ = call;
    Next();
  }

  uint64_t fenced = 0;  // 1: by this it ended
  uint64_t failed = 0;  // in another way
  uint64_t late = 0;    // begun after it went on, and done
  uint64_t wrong = 0;   // loads that did not bring what was stored last

 private:
  void Next() {
    const bool begun_late = went_on;
    const auto done = [this, begun_late](const PagesResult& result) { OnDone(begun_late, result); };
    const std::vector<PageRange> slots = {{UserOffset(call_), kUserCallPages}};
    if (storing_) {
      stored_.clear();
      for (uint32_t page = 0; page < kUserCallPages; ++page) {
        const PageBytes bytes =
            NoisyPage(Mix64(call_) + round_ * kUserCallPages + page, kPageBytes / 4);
        stored_.insert(stored_.end(), bytes.begin(), bytes.end());
      }
      client_.StoreAsync(slots, stored_, done);
    } else {
      loaded_.assign(stored_.size(), std::byte{0});
      client_.LoadAsync(slots, loaded_, done);
    }
  }
  void OnDone(bool begun_late, const PagesResult& result) {
    ++rounds_;
    rounds_.notify_all();
    if (!result.AllOk()) {
      const bool by_fence = ReasonOf(result.status) == ErrorReason::kFenced;
      ++(by_fence ? fenced : failed);
      if (!by_fence) {
        std::fprintf(stderr, "%s\n", result.status.ToString().c_str());
      }
      --left_;
      left_.notify_all();
      return;
    }
    late += begun_late ? 1 : 0;
    wrong += !storing_ && loaded_ != stored_ ? 1 : 0;
    storing_ = !storing_;
    ++round_;
    Next();
  }

  SwapClient& client_;
  std::atomic<uint64_t>& rounds_;  // of all
  std::atomic<uint64_t>& left_;    // that have not ended
  uint64_t call_ = 0;
  uint64_t round_ = 0;
  bool storing_ = true;
  PageBytes stored_;
  PageBytes loaded_;
};

// Of one call of each kind.
uint64_t CountFenced(SwapClient& client) {
  PageBytes page(kPageBytes);
  const std::array<Status, 5> statuses = {client.Store(0, page).status, client.Load(0, page).status,
                                          client.Free(0, 1), client.Prefetch(0, 1),
                                          client.Extents(0, 1).status()};
  return static_cast<uint64_t>(std::ranges::count_if(
      statuses, [](const Status& status) { return ReasonOf(status) == ErrorReason::kFenced; }));
}

int Use(const std::string& frontends, const std::string& space) {
  ClientOptions options;
  options.frontend = frontends;
  options.space = space;
  options.holder = "user";
  options.create_pages = kUserSpacePages;
  auto client = SwapClient::Open(options);
  if (!client.ok()) {
    std::fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  std::atomic<uint64_t> rounds{0};
  std::atomic<uint64_t> left{kUserCalls};
  std::vector<std::unique_ptr<Turns>> all;
  for (uint64_t call = 0; call < kUserCalls; ++call) {
    all.push_back(std::make_unique<Turns>(**client, rounds, left));
    all.back()->Begin(call);
  }
  for (uint64_t now = 0; (now = rounds) < kUserCalls * kRoundsAtFirst && left == kUserCalls;) {
    rounds.wait(now);
  }
  std::printf("%d\n", getpid());
  std::fflush(stdout);
  for (uint64_t now = 0; (now = left) > 0;) {
    left.wait(now);
  }
  Turns sum(**client, rounds, left);
  for (const auto& each : all) {
    sum.fenced += each->fenced;
    sum.failed += each->failed;
    sum.late += each->late;
    sum.wrong += each->wrong;
  }
  std::printf("fenced %llu, failed %llu, done late %llu, wrong %llu, fenced then %llu of 5\n",
              static_cast<unsigned long long>(sum.fenced),
              static_cast<unsigned long long>(sum.failed),
              static_cast<unsigned long long>(sum.late), static_cast<unsigned long long>(sum.wrong),
              static_cast<unsigned long long>(CountFenced(**client)));
  return 0;
}

}  // namespace
}  // namespace vswap

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: space_user FRONTENDS SPACE\n", stderr);
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct sigaction action = {};
  action.sa_handler = vswap::NoteGoingOn;
  sigaction(SIGCONT, &action, nullptr);
  return vswap::Use(argv[1], argv[2]);
}
